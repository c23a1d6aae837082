"""The page of a stress test, and the same numbers for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from crisp_core.report.prose import count, number
from crisp_core.report.rendering import render
from crisp_core.report.scales import UNIT_SCALE
from crisp_core.report.sheets.files import write_sheets
from crisp_core.report.sheets.formats import json_text
from crisp_core.report.sheets.sheet import Entry, Sheet
from crisp_core.report.stress_tables import (
    MEAN,
    Scores,
    scores_of,
    stress_charts,
    stress_sheets,
    structure_charts,
)
from crisp_core.schema.stress import StressAnswer, StressPlan

FEW_PATIENTS = 5


def write_stress(
    plan: StressPlan, answers: Sequence[StressAnswer], folder: Path
) -> tuple[Path, list[Any]]:
    """Write stress.html, stress.json and every table of the cases that are whole.

    Returns:
        The path of stress.html, and the tables as they are in stress.json.

    Raises:
        RunStateError: If no case is whole.
    """
    scores = scores_of(plan, answers)
    sheets = stress_sheets(scores)
    folder.mkdir(parents=True, exist_ok=True)
    write_sheets(sheets, folder)
    tables = [json.loads(json_text(sheet)) for sheet in sheets]
    told = plan.model_dump(mode="json", exclude={"cases"})
    value = {"plan": told, **_sample(scores), "limits": [*_limits(scores)], "tables": tables}
    text = json.dumps(value, indent=1, allow_nan=False)
    (folder / "stress.json").write_text(f"{text}\n", encoding="utf-8")
    page = folder / "stress.html"
    page.write_text(stress_page(scores, sheets), encoding="utf-8")
    return page, tables


def stress_page(scores: Scores, sheets: Sequence[Sheet]) -> str:
    """Return the page as HTML."""
    plan = scores.plan
    models = [model.name for model in plan.models]
    return render(
        "stress.html",
        plan=plan,
        models=models,
        headline=_headline(sheets[0]),
        sample=_sample(scores),
        limits=[*_limits(scores)],
        sheets=sheets,
        charts=stress_charts(scores),
        structure_charts=structure_charts(scores) if len(plan.classes) > 1 else (),
        model_styles={name: f"h{index}" for index, name in enumerate(models)},
        structure_styles={name: f"h{index % 6}" for index, name in enumerate(plan.classes)},
        scale=UNIT_SCALE,
    )


def _headline(dice: Sheet) -> dict[str, str]:
    """Say the clean score, the mean drop and the worst corruption in figures."""
    places = {heading.key: index for index, heading in enumerate(dice.headings)}
    rows = {str(row[0].value): row for row in dice.rows}
    whole = rows.pop(MEAN)
    worst = max(rows.values(), key=lambda row: _value(row, places["drop"]))
    drop = _value(whole, places["drop"])
    headline = {
        "clean": number(_value(whole, places["clean"])),
        "drop": number(abs(drop)),
        "way": "lower" if drop > 0 else "higher",
        "worst": str(worst[0].value),
        "worst_score": number(_value(worst, places["worst"])),
        "worst_severity": number(_value(worst, places["worst_severity"]), 0),
    }
    if "relative" in places and whole[places["relative"]].value is not None:
        headline["relative"] = number(_value(whole, places["relative"]), 0)
    return headline


def _value(row: Sequence[Entry], place: int) -> float:
    return float(row[place].value or 0)


def _sample(scores: Scores) -> dict[str, int]:
    return {
        "case_count": len(scores.cases),
        "patient_count": len(set(scores.patients)),
        "planned_case_count": len(scores.plan.cases),
    }


def _limits(scores: Scores) -> Iterator[str]:
    """Say what a reader must know before the figures."""
    sample, plan = _sample(scores), scores.plan
    done, planned = sample["case_count"], sample["planned_case_count"]
    if done < planned:
        yield f"Not finished: {done} of {count(planned, 'case')} are whole and shown here."
    if sample["patient_count"] < FEW_PATIENTS:
        yield f"{count(sample['patient_count'], 'patient')}: too few to say more than these cases."
    if plan.split == "train":
        yield "The model has learned from these cases: its clean score is too good."
    if plan.split == "validation":
        yield "These cases helped to select the model: its clean score is a little too good."
    yield (
        "Artefacts are simulated on finished images. They show where a model breaks first, not how "
        "often a scanner makes such images."
    )
