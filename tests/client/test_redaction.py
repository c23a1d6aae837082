from __future__ import annotations

from collections.abc import Sequence

import pytest
from federation_samples import evaluation
from hypothesis import given
from hypothesis import strategies as st

from crisp_client.redaction import redacted
from crisp_core.schema.messages import ESSENTIAL, METRICS, Evaluation, TaxonomyFigures
from crisp_core.schema.policy import Policy
from crisp_core.schema.reliability import Bins, Reliability
from crisp_core.schema.risk import RiskEvidence

OPEN = Policy(min_cohort=1)
WRONG = TaxonomyFigures(
    under_segmented=False, leakage_ml=1.0, distant_ml=0.0, distant_components=0, offset_mm=None
)
SURE = RiskEvidence(uncertain_fraction=0.1, core_support_agreement=0.5, entropy=0.2)
BINS = Bins(counts=(9,), confidence_sums=(8.1,), correct_counts=(8,))


def measured(words: Sequence[str], name: str = "size") -> Evaluation:
    """One patient for each word, and every optional figure that a case can have."""
    plain = evaluation("east", [0.5] * len(words))
    cases = []
    for number, (case, word) in enumerate(zip(plain.cases, words, strict=True)):
        (recursion,) = case.recursions
        full = recursion.structures["LV"].model_copy(update={"auc": 0.9, "assd_mm": 1.0})
        update = {
            "patient": f"p{number}",
            "strata": {name: word} if word else {},
            "evidence": SURE,
            "errors": {"LV": WRONG},
            "recursions": (
                recursion.model_copy(update={"structures": {"LV": full}, "brier": 0.1}),
            ),
        }
        cases.append(case.model_copy(update=update))
    bins = Reliability(top_label=BINS, classes={"LV": BINS})
    return plain.model_copy(update={"cases": tuple(cases), "reliability": bins})


def words_of(figures: Evaluation, name: str = "size") -> list[str]:
    return [case.strata.get(name, "") for case in figures.cases]


def test_a_policy_of_the_essential_metrics_lets_a_measurement_out_without_the_others() -> None:
    whole = measured(["small"] * 6)

    left = redacted(whole, Policy(min_cohort=1, metrics=ESSENTIAL))

    (first, *_) = left.cases
    assert left.reliability is None
    assert (first.evidence, first.errors, first.strata) == (None, {}, {})
    assert first.answer.brier is None
    assert first.answer.structures["LV"].auc is None
    assert first.answer.structures["LV"].dice == whole.cases[0].answer.structures["LV"].dice


@pytest.mark.parametrize("metrics", [None, METRICS])
def test_a_policy_that_names_every_metric_or_none_takes_nothing_out(
    metrics: tuple[str, ...] | None,
) -> None:
    whole = measured(["small"] * 6)

    assert redacted(whole, Policy(min_cohort=1, metrics=metrics)) == whole


def test_one_optional_metric_leaves_alone_if_it_is_named_alone() -> None:
    left = redacted(measured(["x"] * 6), Policy(min_cohort=1, metrics=(*ESSENTIAL, "auc")))

    structure = left.cases[0].answer.structures["LV"]
    assert (structure.auc, structure.assd_mm) == (0.9, None)


def test_a_word_of_four_patients_stays_whatever_the_policy_says() -> None:
    words = ["large"] * 9 + ["small"] * 5 + ["tiny"] * 4 + [""] * 3

    left = redacted(measured(words), OPEN)

    assert words_of(left) == ["large"] * 9 + ["small"] * 5 + [""] * 7


def test_a_lone_cell_is_hidden_among_the_next_rarest() -> None:
    """Two patients without a word among two words would be known to have the third."""
    words = ["large"] * 9 + ["small"] * 5 + ["tiny"] * 2

    left = redacted(measured(words), OPEN)

    assert words_of(left) == ["large"] * 9 + [""] * 7


def test_the_policys_own_cohort_counts_where_it_is_larger() -> None:
    words = ["large"] * 9 + ["small"] * 8

    assert words_of(redacted(measured(words), Policy(min_cohort=9))) == [""] * 17
    assert words_of(redacted(measured(words), Policy(min_cohort=8))) == words


@given(st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=1, max_size=30))
def test_nobody_can_be_told_by_a_word_or_by_the_lack_of_one(words: list[str]) -> None:
    left = words_of(redacted(measured(words), OPEN))

    told = [word for word in left if word]
    assert all(left.count(word) >= 5 for word in told)
    assert not told or left.count("") == 0 or left.count("") >= 5
    assert all(new in {"", old} for new, old in zip(left, words, strict=True))
