"""The figures of a prediction line, by the names that a drift reference has for them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from crisp_core.files.drift_reference import AXES, sample_reference
from crisp_core.schema.drift import AWAY, DriftReference, RateReference, SourceMedian
from crisp_core.schema.prediction import PredictionLine


def figures_of(line: PredictionLine) -> dict[str, float]:
    """Name every figure of a line that can move, except the flag."""
    figures = {"entropy": line.entropy}
    figures |= {f"volume:{name}": volume for name, volume in line.volumes_ml.items()}
    figures |= {f"spacing:{axis}": mm for axis, mm in zip(AXES, line.spacing_mm, strict=True)}
    for number, channel in enumerate(line.intensity, start=1):
        figures[f"intensity:{number}:median"] = channel.median
        figures[f"intensity:{number}:high"] = channel.high
    return figures


def columns(lines: Sequence[PredictionLine]) -> dict[str, list[float]]:
    """Collect each figure over the lines, in their order; those that every line has."""
    rows = [figures_of(line) for line in lines]
    common = set(rows[0]).intersection(*rows[1:]) if rows else set()
    return {name: [row[name] for row in rows] for name in rows[0] if name in common} if rows else {}


def flagged(lines: Sequence[PredictionLine]) -> RateReference | None:
    """Count the predictions that were not simply accepted; None where no rule judged them all."""
    if not lines or any(line.flag is None for line in lines):
        return None
    hits = sum(line.flag != "accept" for line in lines)
    return RateReference(hits=hits, count=len(lines))


def reference_from(lines: Sequence[PredictionLine]) -> DriftReference:
    """Summarise a stretch of a log as a reference; at least one line.

    Spacing is kept as a median: a scanner has few of them, so that it has no deciles.
    """
    figures = columns(lines)
    samples = {
        name: sample
        for name, values in figures.items()
        if not name.startswith("spacing:")
        and (sample := sample_reference(name, values)) is not None
    }
    return DriftReference(
        cases=len(lines),
        samples=samples,
        medians={
            name: (_median(values),) for name, values in figures.items() if name not in samples
        },
        flagged=flagged(lines),
    )


def _median(values: Sequence[float]) -> SourceMedian:
    centre = median(values)
    unlike = sum(abs(value - centre) > AWAY * abs(centre) for value in values)
    return SourceMedian(cases=len(values), value=centre, unlike=unlike)
