from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean, stdev

import pytest
from report_samples import run_summary

from crisp_core.report.comparison import Comparison, compare, comparison_page, write_comparison
from crisp_core.report.grids import Column, Grid, grid, sheet_of, spread
from crisp_core.report.methods import Run, cohort
from crisp_core.report.sheets.formats import markdown_text
from crisp_core.report.tables import site_results

SHIFTS = {"fedavg": -0.05, "crisp": 0.0}
UP = Column("north", higher_is_better=True, site=True)


def markdown(table: Grid) -> str:
    return markdown_text(sheet_of(table, "table", "method"))


def runs() -> list[Run]:
    return [
        (method, seed, run_summary(seed=seed, shift=shift + 0.01 * seed))
        for method, shift in SHIFTS.items()
        for seed in (0, 1)
    ]


@pytest.fixture
def result() -> Comparison:
    return compare(runs())


def test_held_out_sites_come_first_the_hardest_of_all(result: Comparison) -> None:
    labels = [column.label for column in result.grids[0].columns]

    assert labels[:4] == ["vendor-d", "vendor-e", "worst held-out", "mean held-out"]
    assert labels[4:] == ["vendor-b", "vendor-c", "vendor-a", "mean of sources"]


def test_a_cell_is_the_mean_over_seeds_of_the_sites_means(result: Comparison) -> None:
    means = [site_results(summary)[0].dice for method, _, summary in runs() if method == "crisp"]

    cell = result.grids[0].rows["crisp"][0]

    assert cell.spread is not None
    assert cell.spread.values == pytest.approx(means)
    assert cell.spread.mean == pytest.approx(fmean(means))
    assert cell.spread.sd == pytest.approx(stdev(means))


def test_the_best_of_a_column_is_marked_and_a_tie_of_all_is_not(result: Comparison) -> None:
    dice, hd95 = result.grids[:2]

    for table in (dice, hd95):
        best = {method: [cell.best for cell in row] for method, row in table.rows.items()}
        assert best["crisp"] == [True] * 4 + [False] * 4  # the sources are the same in both
        assert not any(best["fedavg"])


def test_the_worst_held_out_site_of_every_row_is_marked(result: Comparison) -> None:
    for table in (*result.grids[:2], result.runs):
        for row in table.rows.values():
            assert [cell.worst for cell in row[:2]] == [True, False]
            assert not any(cell.worst for cell in row[2:])


def test_lower_is_better_where_the_column_says_so() -> None:
    down = Column("HD95", higher_is_better=False, decimals=1)

    table = grid("HD95", [down], {"a": [spread([3.0])], "b": [spread([2.0])], "c": [None]})

    assert [row[0].best for row in table.rows.values()] == [False, True, False]


def test_equal_in_print_is_equally_good() -> None:
    rows = {"a": [spread([0.8001])], "b": [spread([0.8004])], "c": [spread([0.7])]}

    table = grid("Dice", [UP], rows)

    assert [row[0].best for row in table.rows.values()] == [True, True, False]


def test_markdown_tables_have_one_cell_per_column(result: Comparison) -> None:
    for table in result.sheets:
        lines = markdown_text(table).splitlines()
        assert {line.count("|") for line in lines} == {len(table.headings) + 1}
        assert len(lines) == 2 + len(table.rows) + table.sampled


def test_a_pipe_in_a_name_does_not_split_a_cell() -> None:
    table = grid("Dice", [UP], {"a|b": [spread([0.5])]})

    assert "a\\|b" in markdown(table)


def test_the_gain_of_the_answer_is_written_with_its_sign(result: Comparison) -> None:
    row = markdown(result.grids[2]).splitlines()[2]

    assert row.split("|")[5].strip().startswith("+0.0")


def test_single_runs_are_listed(result: Comparison) -> None:
    assert list(result.runs.rows) == [
        *("fedavg, seed 0", "fedavg, seed 1"),
        *("crisp, seed 0", "crisp, seed 1"),
    ]


def test_a_site_that_one_run_lacks_is_a_dash() -> None:
    whole, part = run_summary(), run_summary(seed=1)
    final = {site: own for site, own in part.final.items() if site != "vendor-e"}
    table = compare([("a", 0, whole), ("b", 1, part.model_copy(update={"final": final}))]).grids[0]

    assert table.rows["b"][1].spread is None
    assert "| \N{EN DASH} |" in markdown(table)


def test_unequal_conditions_are_told() -> None:
    longer = run_summary()
    training = longer.study.training.model_copy(update={"steps": 1800})
    study = longer.study.model_copy(update={"training": training})

    cautions = compare(
        [("a", 0, run_summary()), ("b", 1, longer.model_copy(update={"study": study}))]
    ).cautions

    assert cautions == (
        "Not equal for all runs, optimiser steps: a: 900; b: 1800.",
        "Methods ran with different seeds (a: 0; b: 1).",
    )


def test_equal_conditions_need_no_words(result: Comparison) -> None:
    assert result.cautions == ()
    assert "Before you read on" not in comparison_page(result)


def test_the_page_says_what_it_does_not_show(result: Comparison) -> None:
    html = comparison_page(result)

    assert "vendor-d: 16 (8); vendor-e: 12 (6)" in html
    assert "What this does not show" in html


def test_the_same_seed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="every \\(method, seed\\) once"):
        cohort([("a", 0, run_summary()), ("a", 0, run_summary())])


def test_three_files_are_written(tmp_path: Path) -> None:
    path = write_comparison(runs(), tmp_path / "out")

    value = json.loads((path.parent / "comparison.json").read_text(encoding="utf-8"))
    text = (path.parent / "comparison.md").read_text(encoding="utf-8")
    assert path.name == "comparison.html"
    assert value["cohort"]["methods"] == ["fedavg", "crisp"]
    assert text.startswith("# Comparison of methods")
