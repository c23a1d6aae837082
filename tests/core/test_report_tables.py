from __future__ import annotations

import json
import tomllib
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import CLASSES, case, evaluation, run_summary, study

from crisp_core.report.recursions import pass_rows
from crisp_core.report.repeat import study_text, time_split
from crisp_core.report.tables import (
    ALL,
    DICE,
    HD95,
    METRICS,
    Bootstrap,
    case_value,
    group_mean,
    site_results,
    structure_row,
)
from crisp_core.report.training import round_rows, scores
from crisp_core.schema.study import Study
from crisp_core.schema.summary import RunSummary

BOOTSTRAP = Bootstrap(samples=100, key="test")


def dice_of(summary: RunSummary, site: str) -> list[float]:
    return [
        fmean(figures.dice for figures in one.answer.structures.values())
        for one in summary.final[site].cases
    ]


def test_sites_are_ordered_held_out_first_and_worst_first() -> None:
    results = site_results(run_summary())

    assert [result.site for result in results] == [
        *("vendor-d", "vendor-e"),
        *("vendor-b", "vendor-c", "vendor-a"),
    ]


def test_a_site_without_cases_is_the_worst() -> None:
    summary = run_summary()
    empty = evaluation("vendor-e", 0.8, "all", count=0)
    summary = summary.model_copy(update={"final": {**summary.final, "vendor-e": empty}})

    worst = site_results(summary)[0]

    assert (worst.site, worst.dice, worst.overall.metrics["dice"]) == ("vendor-e", 0.0, None)


def test_a_sites_mean_is_the_mean_over_cases_of_the_mean_over_structures() -> None:
    summary = run_summary()

    result = site_results(summary)[0]

    assert result.dice == pytest.approx(fmean(dice_of(summary, "vendor-d")))


def test_every_cell_is_the_hand_computed_mean_over_the_cases_in_which_it_is_defined() -> None:
    measured = evaluation("vendor-d", 0.71, "all")

    row = structure_row(measured, ("myocardium",), "myocardium", BOOTSTRAP)

    for metric in METRICS:
        values = [metric.read(one.answer.structures["myocardium"]) for one in measured.cases]
        known = [value for value in values if value is not None]
        interval = row.metrics[metric.key]
        assert interval is not None
        assert interval.count == len(known)
        assert interval.mean == pytest.approx(sum(known) / len(known))


def test_a_missed_structure_counts_its_case_once() -> None:
    measured = evaluation("vendor-d", 0.71, "all")

    row = structure_row(measured, CLASSES, ALL, BOOTSTRAP)

    assert (row.case_count, row.patient_count, row.missed_count, row.absent_count) == (16, 8, 1, 0)


def test_a_metric_that_one_structure_lacks_is_the_mean_of_the_others() -> None:
    missed = case("vendor-d", 3, 0.71).answer
    precision = next(metric for metric in METRICS if metric.key == "precision")

    value = case_value(missed, precision, CLASSES)

    assert missed.structures["myocardium"].precision is None
    assert value == missed.structures["left-ventricle"].precision


def test_a_group_counts_every_site_once() -> None:
    mean = group_mean([0.5, None, 0.7])

    assert mean is not None
    assert (mean.mean, mean.site_count) == (pytest.approx(0.6), 2)


@given(st.permutations(range(12)))
def test_an_interval_does_not_depend_on_the_other_cells(order: list[int]) -> None:
    words = [str(index) for index in order]

    intervals = {word: BOOTSTRAP.interval([0.1, 0.5, 0.8], ["a", "b", "c"], word) for word in words}

    assert intervals["3"] == BOOTSTRAP.interval([0.1, 0.5, 0.8], ["a", "b", "c"], "3")


def test_a_fall_over_the_passes_is_marked_and_the_guards_choice_is_not() -> None:
    rows = {row.site: row for row in pass_rows(run_summary(), ["vendor-d", "vendor-e"])}

    assert rows["vendor-e"].last_gain.mean == pytest.approx(-0.06)  # two passes at -0.03
    assert rows["vendor-e"].last_fell
    assert not rows["vendor-e"].answer_fell
    assert rows["vendor-e"].chosen_counts == (12, 0, 0)
    assert not rows["vendor-d"].last_fell


def test_passes_are_compared_on_the_same_cases() -> None:
    summary = run_summary()
    cases = summary.final["vendor-d"].cases

    (row,) = pass_rows(summary, ["vendor-d"])

    for index, figures in ((0, row.first), (-1, row.last)):
        dice = [case_value(one.recursions[index], DICE, CLASSES) or 0 for one in cases]
        hd95 = [case_value(one.recursions[index], HD95, CLASSES) or 0 for one in cases]
        assert (figures.dice, figures.hd95_mm) == (
            pytest.approx(fmean(dice)),
            pytest.approx(fmean(hd95)),
        )


def test_the_selected_generation_is_scored_by_its_worst_source() -> None:
    summary = run_summary()
    validation = summary.generations[2].validation["vendor-b"]

    chosen = scores(summary)[2]

    values = [case_value(one.answer, DICE, CLASSES) or 0 for one in validation.cases]
    assert (chosen.worst_site, chosen.selected) == ("vendor-b", True)
    assert chosen.worst_dice == pytest.approx(fmean(values))


def test_a_round_without_a_source_is_degraded() -> None:
    degraded = [row for row in round_rows(run_summary()) if row.degraded]

    assert [(row.generation, row.round_number) for row in degraded] == [(2, 1)]
    assert degraded[0].case_count == 36 + 30  # vendor-a and vendor-b


def test_the_printed_study_reads_back_as_the_same_study() -> None:
    written = study()

    value = tomllib.loads(study_text(written))

    assert "data" not in value["sites"]["vendor-a"]
    assert Study.model_validate_json(json.dumps(value)).hash() == written.hash()


def test_time_is_split_into_the_sites_and_the_rest() -> None:
    split = time_split(run_summary())

    assert split.overhead_s == 1264.0 - 1207.5
    assert split.overhead_share == pytest.approx(56.5 / 1264.0)
