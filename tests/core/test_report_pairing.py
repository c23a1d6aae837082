"""The same patients under two methods: who is paired with whom, and what p then says."""

from __future__ import annotations

from statistics import fmean

import pytest
from report_samples import run_summary

from crisp_core.numerics.significance import holm, paired_p
from crisp_core.report.comparison import compare
from crisp_core.report.pairing import differences
from crisp_core.report.sheets.sheet import Entry, Sheet
from crisp_core.report.tables import DICE
from crisp_core.schema.messages import CaseFigures, Evaluation
from crisp_core.schema.summary import RunSummary

SHIFTS = {"crisp": 0.02, "fedavg": 0.0, "crisp-paper": -0.05}


def with_cases(summary: RunSummary, site: str, cases: tuple[CaseFigures, ...]) -> RunSummary:
    changed = summary.final[site].model_copy(update={"cases": cases})
    return summary.model_copy(update={"final": {**summary.final, site: changed}})


def sheets(runs: list[tuple[str, int, RunSummary]] | None = None) -> dict[str, Sheet]:
    every = runs or [(name, 0, run_summary(shift=shift)) for name, shift in SHIFTS.items()]
    return {sheet.name: sheet for sheet in compare(every).sheets}


def column(sheet: Sheet, key: str) -> dict[str, Entry]:
    place = [heading.key for heading in sheet.headings].index(key)
    return {str(row[0].value): row[place] for row in sheet.rows}


def patient_means(evaluation: Evaluation) -> list[float]:
    names = sorted({case.patient for case in evaluation.cases})
    return [
        fmean(
            fmean(figures.dice for figures in case.answer.structures.values())
            for case in evaluation.cases
            if case.patient == name
        )
        for name in names
    ]


def test_fedavg_is_the_baseline_wherever_it_stands() -> None:
    assert list(column(sheets()["paired-dice"], "vendor-d")) == ["crisp", "crisp-paper"]


def test_p_is_that_of_the_patients_corrected_for_every_comparison() -> None:
    runs = {name: run_summary(shift=shift) for name, shift in SHIFTS.items()}
    raw = [
        paired_p(patient_means(runs[method].final[site]), patient_means(runs["fedavg"].final[site]))
        for site in ("vendor-d", "vendor-e")
        for method in ("crisp", "crisp-paper")
    ]

    paired = sheets()["paired-dice"]

    found = [
        column(paired, site)[method].p
        for site in ("vendor-d", "vendor-e")
        for method in ("crisp", "crisp-paper")
    ]
    assert found == pytest.approx(holm(raw))


def test_the_difference_of_a_site_is_the_mean_over_its_patients() -> None:
    one, other = run_summary(shift=0.02), run_summary()
    pairs = zip(
        patient_means(one.final["vendor-d"]), patient_means(other.final["vendor-d"]), strict=True
    )

    found = column(sheets()["paired-dice"], "vendor-d")["crisp"]

    assert found.value == pytest.approx(fmean(a - b for a, b in pairs))
    assert found.low is not None
    assert found.high is not None
    assert found.low <= float(found.value or 0) <= found.high


def test_patients_are_paired_by_pseudonym_and_not_by_their_place() -> None:
    summary = run_summary()
    turned = with_cases(summary, "vendor-d", summary.final["vendor-d"].cases[::-1])

    apart = differences({0: turned}, {0: summary}, DICE, ["vendor-d"])

    assert len(apart) == 8
    assert set(apart.values()) == {0.0}


def test_a_patient_whom_one_method_did_not_measure_is_in_no_pair() -> None:
    summary = run_summary()
    fewer = with_cases(summary, "vendor-d", summary.final["vendor-d"].cases[:6])

    assert len(differences({0: fewer}, {0: summary}, DICE, ["vendor-d"])) == 3


def test_a_patient_of_three_seeds_counts_once() -> None:
    one = {seed: run_summary(seed=seed, shift=0.01 * seed) for seed in (0, 1, 2)}
    other = {seed: run_summary(seed=seed) for seed in (0, 1, 2)}

    apart = differences(one, other, DICE, ["vendor-e"])

    assert len(apart) == 6
    assert list(apart.values()) == pytest.approx([0.01] * 6)  # (0 + 0.01 + 0.02) / 3


def test_a_study_with_other_pseudonyms_in_every_run_gets_no_p_and_says_why() -> None:
    summary = run_summary()
    renamed = with_cases(
        summary,
        "vendor-d",
        tuple(
            case.model_copy(update={"patient": f"x{case.patient}"})
            for case in summary.final["vendor-d"].cases
        ),
    )

    result = compare([("fedavg", 0, summary), ("crisp", 0, renamed)])

    paired = next(sheet for sheet in result.sheets if sheet.name == "paired-dice")
    assert [heading.key for heading in paired.headings] == ["method", "vendor-e"]
    assert any("The patients of vendor-d have other pseudonyms" in c for c in result.cautions)


def test_one_method_alone_is_held_against_nothing() -> None:
    found = sheets([("crisp", 0, run_summary())])

    assert not {"paired-dice", "paired-hd95", "ladder"} & set(found)
    assert "p" not in [heading.key for heading in found["dice"].headings]


def test_a_baseline_that_did_not_run_is_refused() -> None:
    with pytest.raises(ValueError, match="a baseline among crisp"):
        compare([("crisp", 0, run_summary())], baseline="fedavg")


def test_a_ladder_keeps_the_order_and_adds_up() -> None:
    ladder = sheets()["ladder"]

    means, gains = column(ladder, "mean"), column(ladder, "mean_gain")

    assert list(means) == list(SHIFTS)
    assert gains["crisp"].value is None
    total = sum(float(gains[name].value or 0) for name in ("fedavg", "crisp-paper"))
    assert total == pytest.approx(
        float(means["crisp-paper"].value or 0) - float(means["crisp"].value or 0)
    )
    assert [gains[name].p is None for name in SHIFTS] == [True, False, False]
