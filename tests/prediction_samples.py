"""Prediction lines for whoever tests something that reads a log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from crisp_core.schema.prediction import IntensitySummary, PredictionLine

MODEL = "ab" * 32
BEGINNING = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def prediction(number: int = 0, **changes: Any) -> PredictionLine:
    """One ordinary line; case `number` was predicted `number` hours after the first."""
    fields: dict[str, Any] = {
        "time": BEGINNING + timedelta(hours=number),
        "pseudonym": f"{number:012x}",
        "input_hash": f"{number:064x}",
        "model_hash": MODEL,
        "flag": "accept",
        "reasons": (),
        "entropy": 0.2,
        "volumes_ml": {"ring": 90.0, "inner": 120.0},
        "intensity": (IntensitySummary(low=2.0, median=110.0, high=420.0),),
        "spacing_mm": (8.0, 1.5, 1.5),
        "latency_s": 1.25,
    }
    return PredictionLine(**{**fields, **changes})


def ordinary_lines(count: int, seed: int = 0, **changes: Any) -> list[PredictionLine]:
    """Lines whose figures vary from case to case as those of a hospital do."""
    rng = np.random.default_rng(seed)
    return [_varied(number, rng, changes) for number in range(count)]


def _varied(number: int, rng: np.random.Generator, changes: dict[str, Any]) -> PredictionLine:
    median = 110 + 8 * rng.normal()
    flag = "accept" if rng.random() > 0.1 else "review"
    return prediction(
        number,
        **{
            "flag": flag,
            "reasons": () if flag == "accept" else ("entropy",),
            "entropy": float(0.2 * np.exp(0.2 * rng.normal())),
            "volumes_ml": {
                "ring": float(90 * np.exp(0.2 * rng.normal())),
                "inner": float(120 * np.exp(0.25 * rng.normal())),
            },
            "intensity": (IntensitySummary(low=2.0, median=median, high=median + 310.0),),
            "latency_s": float(1 + rng.random()),
            **changes,
        },
    )
