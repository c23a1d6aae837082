from __future__ import annotations

import json
from pathlib import Path

import pytest

from crisp_core.errors import RunStateError
from crisp_core.numerics.stress import relative_drop
from crisp_core.report.stress import write_stress
from crisp_core.report.stress_tables import scores_of, stress_sheets
from crisp_core.schema.stress import (
    CLEAN,
    StressAnswer,
    StressedModel,
    StressFigures,
    StressPlan,
)

SLOPES = {"own": 0.05, "other": 0.1}
"""Dice that each model loses with every severity."""


def plan(models: int = 2, **changes: object) -> StressPlan:
    marks = [StressedModel(name=name, model_hash="a" * 64, recursions=1) for name in SLOPES]
    whole = StressPlan(
        models=tuple(marks[:models]),
        classes=("ring", "inner"),
        data="east",
        split="all",
        cases=("c1", "c2", "c3"),
        corruptions=("blur", "motion"),
        severities=(1, 3, 5),
        seed=1,
    )
    return whole.model_copy(update=changes)


def answers(of: StressPlan) -> list[StressAnswer]:
    """Dice 0.8 for the ring and 0.6 for the inner part, lower by slope x severity; blur costs 0."""
    return [
        answer(model.name, case, step)
        for case in of.cases
        for step in of.steps
        for model in of.models
    ]


def answer(model: str, case: str, step: tuple[str, int]) -> StressAnswer:
    lost = SLOPES[model] * step[1] * (step[0] == "motion")
    return StressAnswer(
        model=model,
        case=case,
        patient=f"p{case}",
        corruption=step[0],
        severity=step[1],
        structures={
            "ring": StressFigures(dice=0.8 - lost, hd95_mm=2 + 10 * lost),
            "inner": StressFigures(dice=0.6 - lost, hd95_mm=4 + 10 * lost),
        },
    )


def row(sheet: int, corruption: str, models: int = 2) -> dict[str, object]:
    table = stress_sheets(scores_of(plan(models), answers(plan(models))))[sheet]
    entries = next(entries for entries in table.rows if entries[0].value == corruption)
    return {h.key: e.value for h, e in zip(table.headings, entries, strict=True)}


def test_a_row_holds_clean_score_drop_and_worst_severity() -> None:
    motion = row(0, "motion")

    assert motion["clean"] == pytest.approx(0.7)  # (0.8 + 0.6) / 2
    assert motion["severity_3"] == pytest.approx(0.7 - 0.15)
    assert motion["drop"] == pytest.approx(0.05 * (1 + 3 + 5) / 3)
    assert (motion["worst"], motion["worst_severity"]) == (pytest.approx(0.45), 5)


def test_half_of_the_baselines_loss_is_fifty_percent() -> None:
    assert row(0, "motion")["relative"] == pytest.approx(50)


def test_where_the_baseline_loses_nothing_there_is_no_share() -> None:
    assert row(0, "blur")["relative"] is None
    assert relative_drop([0.1], [0.004]) is None


def test_the_last_row_averages_corruptions_that_cost_something_and_those_that_do_not() -> None:
    mean = row(0, "mean over corruptions")

    assert mean["drop"] == pytest.approx(0.05 * 3 / 2)
    assert mean["relative"] == pytest.approx(50)  # of motion alone


def test_millimetres_that_grow_are_a_drop_too() -> None:
    motion = row(1, "motion")

    assert motion["clean"] == pytest.approx(3)
    assert motion["drop"] == pytest.approx(10 * 0.05 * 3)
    assert motion["worst_severity"] == 5


def test_one_model_has_no_column_of_a_baseline() -> None:
    assert "relative" not in row(0, "motion", models=1)


def test_a_case_that_lacks_one_answer_is_left_out_of_every_figure() -> None:
    given = answers(plan())[:-1]

    scores = scores_of(plan(), given)

    assert scores.cases == ("c1", "c2")
    with pytest.raises(RunStateError, match="none yet"):
        scores_of(plan(), given[:5])


def test_the_page_says_what_is_missing_and_names_no_case(tmp_path: Path) -> None:
    page, tables = write_stress(plan(split="train"), answers(plan())[:-1], tmp_path)

    text = page.read_text()
    assert "Not finished: 2 of 3 cases" in text
    assert "has learned from these cases" in text
    told = json.loads((tmp_path / "stress.json").read_text())
    assert told["case_count"] == 2
    assert told["tables"] == tables
    for written in tmp_path.rglob("*.*"):
        assert "pc1" not in written.read_text()
        assert '"c1"' not in written.read_text()


def test_every_table_is_there_as_csv_and_latex(tmp_path: Path) -> None:
    write_stress(plan(), answers(plan()), tmp_path)

    csv = (tmp_path / "tables" / "stress-dice.csv").read_text().splitlines()
    assert csv[0].startswith("corruption,clean,severity_1,severity_3,severity_5,drop")
    assert len(csv) == 1 + 2 + 1
    assert r"\toprule" in (tmp_path / "tables" / "stress-baseline-hd95.tex").read_text()


def test_a_clean_answer_has_severity_zero() -> None:
    assert plan().steps[0] == (CLEAN, 0)
    assert plan().answer_count == 2 * 3 * (1 + 2 * 3)
