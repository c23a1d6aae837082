"""Small studies and figures for tests of the federation."""

from __future__ import annotations

import json
from typing import Any

from crisp_core.schema.messages import (
    CaseFigures,
    Evaluation,
    RecursionFigures,
    SiteDescription,
    StructureFigures,
    TrainFigures,
)
from crisp_core.schema.methods import with_preset
from crisp_core.schema.study import Study
from crisp_core.schema.summary import RoundSummary


def study(
    *,
    method: str = "crisp",
    generations: int = 2,
    rounds: int = 2,
    steps: int = 12,
    **crisp: Any,
) -> Study:
    """Two sources (east, north) and one held-out site (south)."""
    roles = {"east": "source", "north": "source", "south": "held-out"}
    raw = {
        "name": "tiny",
        "classes": ["LV"],
        "method": method,
        "sites": {site: {"role": role} for site, role in roles.items()},
        "training": {"steps": steps},
        "federation": {"rounds": rounds},
        "crisp": {"generations": generations, **crisp},
    }
    return Study.model_validate_json(json.dumps(with_preset(raw)))


def description(site: str) -> SiteDescription:
    return SiteDescription(
        site=site,
        role="held-out" if site == "south" else "source",
        train_cases=3,
        validation_cases=1,
        test_cases=0,
        patients=4,
        train_slices=12,
        class_voxels={"LV": 100},
        spacing_mm_median=(8.0, 1.0, 1.0),
        software={"python": "3.11"},
        device="cpu",
    )


def trained(cases: int = 3) -> TrainFigures:
    return TrainFigures(
        case_count=cases,
        steps=2,
        loss_first=1.0,
        loss_last=0.5,
        squeeze_last=0.1,
        noise_ratio=0.5,
        seconds=0.0,
    )


def round_summary(generation: int, round_number: int) -> RoundSummary:
    return RoundSummary(
        generation=generation,
        round_number=round_number,
        trained={"east": trained(), "north": trained()},
        missing={},
    )


def evaluation(site: str, dices: list[float]) -> Evaluation:
    """One case per Dice, each its own patient."""
    return Evaluation(site=site, split="validation", cases=tuple(map(_case, dices)), seconds=0.0)


def _case(dice: float) -> CaseFigures:
    structure = StructureFigures(
        dice=dice,
        hd95_mm=1.0,
        hd95_voxels=1.0,
        sensitivity=dice,
        precision=dice,
        volume_error=0.0,
        reference_voxels=10,
        predicted_voxels=10,
        core_precision=None,
        core_recall=None,
        support_precision=None,
        support_recall=None,
    )
    recursion = RecursionFigures(
        structures={"LV": structure},
        uncertain=0.1,
        support_coverage=0.5,
        changed=None,
        entropy=0.2,
    )
    return CaseFigures(case=str(dice), patient=str(dice), recursions=(recursion,), chosen=1)
