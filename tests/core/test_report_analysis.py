"""Where a model fails and whether it knows: the figures behind the page's last sections."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from statistics import fmean

import numpy as np
import pytest
from report_samples import CLASSES, bare_summary, bins, case, recursion, run_summary

from crisp_core.numerics.calibration import ReliabilityBins
from crisp_core.report.analysis.calibration import bin_sheet, calibrations
from crisp_core.report.analysis.coverage import coverages
from crisp_core.report.analysis.findings import finding_sheets, findings
from crisp_core.report.analysis.flags import flags
from crisp_core.report.analysis.ranks import rank_stabilities
from crisp_core.report.analysis.strata import strata_sheet
from crisp_core.report.analysis.taxonomy import errors
from crisp_core.report.analysis.volumes import agreements
from crisp_core.report.page import page, run_tables
from crisp_core.report.plots import confidence_histogram, reliability_plot
from crisp_core.report.sheets.formats import csv_text, json_text
from crisp_core.report.sheets.html import html_text
from crisp_core.report.strata import strata_rows
from crisp_core.schema.messages import CaseFigures
from crisp_core.schema.risk import RiskEvidence
from crisp_core.schema.summary import RunSummary

SITES = ["vendor-d", "vendor-e", "vendor-a"]


def with_cases(cases: Sequence[CaseFigures], site: str = "vendor-d") -> RunSummary:
    summary = run_summary()
    measured = summary.final[site].model_copy(update={"cases": tuple(cases)})
    return summary.model_copy(update={"final": {**summary.final, site: measured}})


def test_calibration_of_sites_together_is_that_of_their_voxels_together() -> None:
    found = {one.group.name: one for one in calibrations(run_summary(), SITES)}

    parts = [bins(0.71), bins(0.82)]  # vendor-d and vendor-e
    gaps = [
        abs(
            sum(part.correct_counts[b] for part in parts) - sum(p.confidence_sums[b] for p in parts)
        )
        for b in range(15)
    ]
    total = sum(sum(part.counts) for part in parts)
    assert found["all held-out"].error == pytest.approx(sum(gaps) / total)
    assert "all sources" not in found  # one source is no group


def test_class_wise_calibration_is_the_mean_over_the_classes() -> None:
    one = calibrations(run_summary(), SITES)[0]

    own = [error for error in one.class_errors.values() if error is not None]
    assert list(one.class_errors) == ["background", *CLASSES]
    assert one.class_error == pytest.approx(fmean(own))


def test_a_group_in_which_a_site_sent_no_bins_is_left_out() -> None:
    summary = run_summary()
    silent = summary.final["vendor-e"].model_copy(update={"reliability": None})
    summary = summary.model_copy(update={"final": {**summary.final, "vendor-e": silent}})

    assert [one.group.name for one in calibrations(summary, SITES)] == ["vendor-d", "vendor-a"]


def test_bins_without_a_voxel_are_neither_listed_nor_drawn() -> None:
    found = calibrations(run_summary(), ["vendor-a"])

    drawn = str(reliability_plot(found[0].top_label, "s0", "x"))
    bars = str(confidence_histogram(found[0].top_label, "s0", "x"))

    assert len(bin_sheet(found).rows) == 10 * 4  # 10 of 15 bins, the winner and three classes
    assert drawn.count("<circle") == bars.count('class="bar"') == 10


def test_a_bin_that_is_always_right_when_half_sure_lies_above_the_line() -> None:
    half = ReliabilityBins(np.array([0, 4]), np.array([0.0, 2.0]), np.array([0, 4]))

    drawn = str(reliability_plot(half, "h0", "x"))

    assert "confidence 0.500, right 1.000, 4 voxels" in drawn


def test_the_area_is_the_mean_risk_of_the_surest_cases() -> None:
    cases = [case("vendor-d", index, 0.71) for index in (0, 1, 2)]
    found = coverages(with_cases(cases), ["vendor-d"])[0]

    pairs = sorted(
        (one.answer.entropy, 1 - fmean(f.dice for f in one.answer.structures.values()))
        for one in cases
    )
    risks = [risk for _, risk in pairs]
    assert found.area == pytest.approx(fmean(fmean(risks[: n + 1]) for n in range(3)))
    assert found.chance == pytest.approx(
        fmean(fmean(fmean(p[: n + 1]) for n in range(3)) for p in permutations(risks))
    )


def test_limits_of_agreement_of_errors_of_one_ml_either_way() -> None:
    def off(index: int, error: float) -> CaseFigures:
        one = case("vendor-d", index, 0.71)
        figures = one.answer.structures[CLASSES[0]].model_copy(
            update={"reference_ml": 10.0, "volume_error_ml": error}
        )
        answer = one.answer.model_copy(update={"structures": {CLASSES[0]: figures}})
        return one.model_copy(update={"recursions": (answer,), "chosen": 1})

    found = agreements(with_cases([off(0, -1.0), off(1, 1.0)]), ["vendor-d"])[0]

    assert found.limits is not None
    assert found.limits.bias == 0
    assert found.limits.high == pytest.approx(1.96 * 2**0.5)  # sd of -1 and 1
    assert [pair.mean_ml for pair in found.pairs] == [9.5, 10.5]


def strata_of(sizes: dict[str, int]) -> RunSummary:
    """One case a patient; stratum -> patients."""
    names = [name for name, count in sizes.items() for _ in range(count)]
    summary = with_cases(
        [
            case("vendor-d", 2 * index, 0.71).model_copy(update={"strata": {"size": name}})
            for index, name in enumerate(names)
        ]
    )
    final = {"vendor-d": summary.final["vendor-d"]}
    return summary.model_copy(update={"final": final})


@pytest.mark.parametrize(
    ("sizes", "hidden"),
    [
        ({"a": 5, "b": 6}, []),
        ({"a": 4, "b": 6, "c": 9}, ["a", "b"]),  # a = all - b - c
        ({"a": 4, "b": 3, "c": 9}, ["a", "b"]),
        ({"a": 1}, ["a"]),
    ],
)
def test_a_cell_of_few_patients_is_hidden_and_cannot_be_computed(
    sizes: dict[str, int], hidden: list[str]
) -> None:
    sheet = strata_sheet(strata_rows(strata_of(sizes)))

    rows = [row for row in sheet.rows if row[0].value == "size"]
    assert [row[1].value for row in rows if row[2].value is None] == hidden


def test_no_format_of_the_table_holds_what_is_hidden() -> None:
    sheet = strata_sheet(strata_rows(strata_of({"a": 4, "b": 6, "c": 9})))

    assert f"size,a{',' * 14}\n" in csv_text(sheet)
    assert '\n  "cases": 4' not in json_text(sheet)
    assert 'data-value="4"' not in str(html_text(sheet))


def test_errors_are_counted_by_case_and_the_offset_is_what_all_share() -> None:
    summary = run_summary()
    found = errors(summary, ["vendor-d"])[1]

    own = [one.errors["myocardium"] for one in summary.final["vendor-d"].cases]
    assert found.under_segmented == sum(one.under_segmented for one in own)
    assert found.leaking == 16
    assert found.offset_mm == pytest.approx(
        tuple(fmean(one.offset_mm[axis] for one in own if one.offset_mm) for axis in range(3))
    )


def test_ranking_stays_where_probability_falls() -> None:
    found = {one.site: one for one in rank_stabilities(run_summary(), SITES)[:3]}

    assert found["vendor-a"].auc - found["vendor-d"].auc < 0.02
    assert found["vendor-a"].probability - found["vendor-d"].probability > 0.2


def test_a_run_from_before_these_figures_still_has_a_page() -> None:
    summary = bare_summary()

    html = page(summary, run_tables(summary))

    assert 'id="table-errors"' not in html
    assert [sheet.name for sheet in finding_sheets(findings(summary, SITES))] == [
        *("risk-coverage", "strata"),
    ]


def flagged(evidence: list[float], dices: list[float]) -> RunSummary:
    """Cases whose every piece of evidence lies at one place among the validation cases."""
    cases = [
        case("vendor-d", 2 * index, dice).model_copy(
            update={
                "evidence": RiskEvidence(
                    uncertain_fraction=where,
                    core_support_agreement=1 - where,
                    recursion_change=where,
                    entropy=where,
                ),
                "recursions": (recursion(dice, 1),),
                "chosen": 1,
            }
        )
        for index, (where, dice) in enumerate(zip(evidence, dices, strict=True))
    ]
    return with_cases(cases)


def test_a_failure_that_is_accepted_is_silent_and_one_that_is_flagged_is_not() -> None:
    summary = flagged([0.1, 0.1, 0.4, 0.9], [0.9, 0.5, 0.5, 0.5])

    (one,) = flags(summary, ["vendor-d"])

    assert one.counts == {"accept": 2, "review": 1, "reject": 1}
    assert (one.silent_count, one.silent_rate, one.caught) == (1, 0.25, pytest.approx(2 / 3))


def test_a_site_without_a_failure_has_no_share_of_them() -> None:
    (one,) = flags(flagged([0.9], [0.9]), ["vendor-d"])

    assert (one.silent_count, one.caught) == (0, None)
    assert one.reasons == "uncertain 1, disagreement 1, changed 1, entropy 1"


def test_a_run_without_a_rule_says_that_nothing_tells_good_from_bad() -> None:
    summary = run_summary().model_copy(update={"risk": None})

    html = page(summary, run_tables(summary))

    assert "There is no risk rule" in html
    assert 'id="table-risk-flags"' not in html
