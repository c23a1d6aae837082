from __future__ import annotations

import math

import numpy as np
import pytest
from federation_samples import evaluation
from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import run_summary

from crisp_core.model.risk import fitted_rule, flag_of
from crisp_core.numerics.risk import FURTHEST, fit_rule, place, reasons, score
from crisp_core.report.analysis.flags import Flags, flags, reached_sentence, rule_sentence
from crisp_core.schema.messages import Evaluation
from crisp_core.schema.risk import RiskEvidence, RiskRule
from crisp_core.schema.study import SiteEntry

numbers = st.lists(st.floats(0, 1), min_size=1, max_size=40)
outcomes = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=5, max_size=60)


def told(uncertain: float) -> RiskEvidence:
    """Everything else is the same in every case."""
    return RiskEvidence(
        uncertain_fraction=uncertain, core_support_agreement=0.5, recursion_change=0.1, entropy=0.3
    )


def measured(site: str, dices: list[float], uncertain: list[float]) -> Evaluation:
    plain = evaluation(site, dices)
    cases = tuple(
        case.model_copy(update={"evidence": told(value)})
        for case, value in zip(plain.cases, uncertain, strict=True)
    )
    return plain.model_copy(update={"cases": cases})


def test_the_median_is_in_the_middle_and_twice_as_far_beyond_is_further() -> None:
    assert place(5.0, range(11)) == 0.5
    assert (place(0.0, range(11)), place(10.0, range(11))) == (0.0, 1.0)
    assert place(12.5, range(11)) == 1.5  # half the distance from the median to the greatest
    assert place(1e9, range(11)) == FURTHEST


def test_a_number_that_is_the_same_everywhere_speaks_neither_for_nor_against() -> None:
    assert place(2.0, [2.0] * 11) == pytest.approx(0.5)
    assert place(2.1, [2.0] * 11) == 1.0


@settings(deadline=None, max_examples=30)
@given(numbers, st.floats(-1, 2), st.floats(-1, 2))
def test_more_is_never_placed_lower(values: list[float], one: float, other: float) -> None:
    quantiles = np.quantile(values, np.linspace(0, 1, 11)).tolist()

    assert place(min(one, other), quantiles) <= place(max(one, other), quantiles)


def test_what_is_not_known_does_not_count() -> None:
    quantiles = {"entropy": range(11), "changed": range(11)}

    assert score({"entropy": 5.0, "changed": None}, quantiles) == 0.5
    assert score({"entropy": 5.0, "changed": 10.0}, quantiles) == 0.75
    assert score({"changed": None}, quantiles) is None
    assert reasons({"entropy": 2.0, "changed": 9.0}, quantiles, review=0.95) == ("changed",)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=5, max_size=60), st.floats(0.5, 1)
)
def test_the_stated_share_of_the_failed_validation_cases_is_caught(
    cases: list[tuple[float, bool]], rate: float
) -> None:
    failed = [bad for _, bad in cases]

    rule = fit_rule([{"entropy": value} for value, _ in cases], failed, rate)

    if rule.basis == "failures":
        caught = sum(
            bad and (score({"entropy": value}, rule.quantiles) or 0) >= rule.review
            for value, bad in cases
        )
        assert caught >= math.floor(rate * sum(failed))
        assert rule.caught == caught / sum(failed)
    else:
        assert sum(failed) < 5
    assert rule.reject >= rule.review


def test_nine_of_ten_failures_are_caught_and_no_more_is_flagged_than_that_takes() -> None:
    good = [{"entropy": value} for value in np.linspace(0, 0.5, 30)]
    bad = [{"entropy": value} for value in (0.2, *np.linspace(0.6, 1, 9))]

    rule = fit_rule([*good, *bad], [False] * 30 + [True] * 10, 0.9)

    assert (rule.basis, rule.caught) == ("failures", 0.9)
    assert rule.flagged == 9 / 40
    assert rule.reject == rule.review  # from there on every one of them failed


def test_with_four_failures_a_tenth_of_validation_is_flagged_and_nothing_of_it_rejected() -> None:
    evidence = [{"entropy": float(value)} for value in range(20)]

    rule = fit_rule(evidence, [value >= 16 for value in range(20)], 0.9)

    assert (rule.basis, rule.failure_count, rule.flagged) == ("quantiles", 4, 0.1)
    assert max(score(one, rule.quantiles) for one in evidence) < rule.reject


@pytest.mark.parametrize(
    ("evidence", "failed", "rate"),
    [([], [], 0.9), ([{"entropy": None}], [True], 0.9), ([{"entropy": 1.0}], [True], 0.0)],
)
def test_a_rule_without_cases_or_rate_is_refused(evidence, failed, rate) -> None:
    with pytest.raises(ValueError, match=r"at least one case|catch rate"):
        fit_rule(evidence, failed, rate)


def validated() -> RiskRule:
    """Thirty good cases of little uncertainty and ten failed ones of much."""
    dices = [0.9] * 30 + [0.3] * 10
    uncertain = [*np.linspace(0, 0.4, 30), *np.linspace(0.6, 0.9, 10)]
    rule = fitted_rule([measured("east", dices, uncertain)], 0.9)
    assert rule is not None
    return rule


def test_a_sure_answer_is_accepted_and_an_unsure_one_is_not_and_says_why() -> None:
    rule = validated()

    assert flag_of(rule, told(0.1)).decision == "accept"
    assert flag_of(rule, told(0.1)).reasons == ()
    unsure = flag_of(rule, told(0.95))
    assert unsure.decision == "reject"
    assert unsure.reasons[0] == "uncertain"


def test_an_answer_without_evidence_is_never_accepted_in_silence() -> None:
    flag = flag_of(validated(), None)

    assert (flag.decision, flag.reasons, flag.score) == ("review", ("no-evidence",), None)


def judged(evaluation: Evaluation) -> Flags:
    """Flag a site's answers by the rule of `validated`."""
    plan = run_summary().study.model_copy(
        update={"sites": {evaluation.site: SiteEntry(role="held-out")}}
    )
    update = {"study": plan, "risk": validated(), "final": {evaluation.site: evaluation}}
    (found,) = flags(run_summary().model_copy(update=update), [evaluation.site])
    return found


def test_silent_failures_are_those_that_nobody_would_look_at() -> None:
    found = judged(measured("south", [0.9, 0.3, 0.2, 0.95], [0.1, 0.1, 0.9, 0.9]))

    assert (sum(found.failed), found.silent_count) == (2, 1)
    assert (found.silent_rate, found.caught) == (0.25, 0.5)
    assert sum(found.counts.values()) == 4
    assert "uncertain 2" in found.reasons
    assert reached_sentence([found]) == (
        "At south it caught 1 of 2 failed answers (50\xa0%) and flagged 2 of 4 (50\xa0%)."
    )


def test_where_nothing_failed_there_was_nothing_to_catch() -> None:
    found = judged(measured("south", [0.9, 0.95], [0.1, 0.9]))

    assert reached_sentence([found]) == (
        "At south none of 2 answers failed: there was nothing to catch."
    )
    assert reached_sentence([]) == ""


def test_sites_that_keep_their_evidence_have_no_rule_and_each_answer_is_reviewed() -> None:
    assert fitted_rule([evaluation("east", [0.5])], 0.9) is None

    found = judged(evaluation("east", [0.5]))

    assert found.counts == {"accept": 0, "review": 1, "reject": 0}
    assert found.reasons == "no-evidence 1"


def test_the_sentence_says_when_there_is_no_catch_rate() -> None:
    few = fitted_rule([measured("east", [0.9] * 9 + [0.5], [0.1] * 9 + [0.2])], 0.9)

    assert few is not None
    assert rule_sentence(few).startswith("Only 1 of 10 validation cases of the sources failed")
    assert "it catches 90\xa0% and flags" in rule_sentence(validated())
