from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_samples import HELD_OUT, run_summary

from crisp_core.numerics.significance import paired_p
from crisp_core.report.fold_pairs import pairings_of
from crisp_core.report.folds import Fold, FoldCase, PassOfCase, fold_of, read_folds
from crisp_core.report.leakage import Leakage, leakage_sheet
from crisp_core.report.loho import loho, loho_page, write_loho


def one_pass(dice: float) -> PassOfCase:
    return PassOfCase(dice, 10 * (1 - dice), {"LV": dice}, None, 0.5, 1.0)


def fold(method: str, seed: int, hospital: str, *dices: float) -> Fold:
    cases = tuple(FoldCase(f"p{n}", 1, (one_pass(dice),)) for n, dice in enumerate(dices))
    return Fold(method, seed, hospital, 1, (0.8,), {"other": 0.9}, cases, 1.0, "hash")


FOLDS = [
    fold("plain", 1, "north", 0.9, 0.7),
    fold("plain", 1, "south", 0.5),
    fold("other", 1, "north", 0.8, 0.8),
    fold("other", 1, "south", 0.8),
]


def column(sheet_name: str, key: str, folds: list[Fold]) -> dict[str, float | None]:
    [sheet] = [sheet for sheet in loho(folds).sheets if sheet.name == sheet_name]
    place = [heading.key for heading in sheet.headings].index(key)
    return {str(row[0].value): row[place].value for row in sheet.rows}


def test_the_worst_hospital_comes_first_and_is_the_least_mean_of_a_hospital() -> None:
    worst = column("dice", "worst_of_2", FOLDS)

    assert worst == {"plain": 0.5, "other": pytest.approx(0.8)}


def test_mean_and_sd_are_over_hospitals_not_cases() -> None:
    means, sds = column("dice", "mean", FOLDS), column("dice", "sd_of_hospitals", FOLDS)

    assert means["plain"] == pytest.approx((0.8 + 0.5) / 2)
    assert sds["plain"] == pytest.approx(0.3 / 2**0.5)  # of 0.8 and 0.5
    assert sds["other"] == pytest.approx(0.0)


def test_for_distances_the_worst_is_the_longest() -> None:
    assert column("hd95", "worst_of_2", FOLDS)["plain"] == pytest.approx(5.0)


def test_a_seed_without_all_its_hospitals_does_not_count_in_the_worst() -> None:
    unfinished = [*FOLDS, fold("plain", 2, "north", 0.1)]

    assert column("dice", "worst_of_2", unfinished)["plain"] == 0.5


def test_methods_are_paired_by_patient_after_cases_and_seeds_are_averaged() -> None:
    second = [fold("plain", 2, "north", 0.7, 0.7), fold("other", 2, "north", 0.8, 0.9)]

    [pair] = pairings_of([*FOLDS, *second])

    apart = [0.8 - 0.8, 0.85 - 0.7, 0.8 - 0.5]
    assert (pair.method, pair.baseline, pair.patients) == ("other", "plain", 3)
    [turned] = pairings_of([*FOLDS, *second], baseline="other")
    assert (turned.method, turned.baseline) == ("plain", "other")
    assert turned.difference == pytest.approx(-pair.difference)
    assert pair.difference == pytest.approx(sum(apart) / 3)
    assert pair.p == pytest.approx(paired_p([0.8, 0.85, 0.8], [0.8, 0.7, 0.5]))


def test_a_fold_keeps_the_figures_of_its_held_out_hospital() -> None:
    summary, site = run_summary(), next(iter(HELD_OUT))

    kept = fold_of("crisp", 1, site, summary)

    dices = [
        sum(s.dice for s in case.answer.structures.values()) / len(case.answer.structures)
        for case in summary.final[site].cases
    ]
    assert kept.mean(lambda one: one.dice) == pytest.approx(sum(dices) / len(dices), abs=1e-4)
    assert len(kept.validation) == 3


def test_folds_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    write_loho(FOLDS, tmp_path)

    assert read_folds(tmp_path / "loho.json") == FOLDS
    assert json.loads((tmp_path / "loho.json").read_text())["limits"].startswith("4 federations")


def test_the_page_shows_every_table_and_asks_for_nothing_outside() -> None:
    page = loho_page(loho(FOLDS, Leakage({}, {"north and south": 1}, None)))

    assert "worst of 2" in page
    assert "north and south: 1 id" in page
    assert "://" not in page


def test_the_leakage_table_says_where_nothing_could_be_probed() -> None:
    sheet = leakage_sheet(Leakage({"a and b": 2}, {}, None))

    told = {str(check.value): str(found.value) for check, found in sheet.rows}
    assert told["The same image at two hospitals"] == "a and b: 2 images"
    assert told["Hospital told from the background alone"].startswith("not probed")
