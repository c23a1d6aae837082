"""What is costly, measured of a case's answer alone: lesions, ranks, errors, calibration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from crisp_client.measuring.region import Region, Yardstick
from crisp_core.numerics.calibration import (
    ReliabilityBins,
    class_bins,
    joined_bins,
    top_label_bins,
)
from crisp_core.numerics.lesions import count_lesions
from crisp_core.numerics.strata import dice_by_third
from crisp_core.numerics.taxonomy import taxonomy_of
from crisp_core.numerics.uncertainty import area_under_curve
from crisp_core.schema.messages import RecursionFigures, StructureFigures, TaxonomyFigures
from crisp_core.schema.reliability import Bins, Reliability

BACKGROUND = "background"
Binned = Sequence[ReliabilityBins]
"""By top label, by background's probability, then by each structure's."""


@dataclass(frozen=True)
class Answer:
    """A recursion that is the answer, with all its figures.

    Attributes:
        recursion: Completed.
        errors: By structure.
        bins: Of the region of interest.
    """

    recursion: RecursionFigures
    errors: dict[str, TaxonomyFigures]
    bins: Binned


def answer_figures(yardstick: Yardstick, region: Region, recursion: RecursionFigures) -> Answer:
    """Complete the figures of the recursion that is the answer."""
    labels = dict(enumerate(yardstick.classes, start=1))
    structures = {
        name: _completed(recursion.structures[name], region, label)
        for label, name in labels.items()
    }
    return Answer(
        recursion=recursion.model_copy(update={"structures": structures}),
        errors={name: _errors(yardstick, region, label) for label, name in labels.items()},
        bins=(
            top_label_bins(region.probabilities, region.reference, region.inside),
            *class_bins(region.probabilities, region.reference, region.inside),
        ),
    )


def joined_reliability(classes: Sequence[str], cases: Iterable[Binned]) -> Reliability | None:
    """Join the bins of several cases; None without a case."""
    columns = list(zip(*cases, strict=True))
    if not columns:
        return None
    top, *own = (_bins(joined_bins(column)) for column in columns)
    return Reliability(top_label=top, classes=dict(zip((BACKGROUND, *classes), own, strict=True)))


def _completed(figures: StructureFigures, region: Region, label: int) -> StructureFigures:
    predicted, reference = region.labels == label, region.reference == label
    lesions = count_lesions(predicted, reference)
    return figures.model_copy(
        update={
            "lesions_reference": lesions.reference,
            "lesions_found": lesions.detected,
            "lesions_predicted": lesions.predicted,
            "lesions_false": lesions.predicted - lesions.matched,
            "auc": area_under_curve(region.log_odds(label), reference),
            "dice_by_third": dice_by_third(predicted, reference),
        }
    )


def _errors(yardstick: Yardstick, region: Region, label: int) -> TaxonomyFigures:
    found = taxonomy_of(region.labels == label, region.reference == label, yardstick.spacing_mm)
    depth, row, column = found.offset_mm or (0.0, 0.0, 0.0)
    return TaxonomyFigures(
        under_segmented=found.under_segmented,
        leakage_ml=found.leakage_ml,
        distant_ml=found.distant_ml,
        distant_components=found.distant_components,
        offset_mm=None if found.offset_mm is None else (depth, row, column),
    )


def _bins(bins: ReliabilityBins) -> Bins:
    return Bins(
        counts=tuple(bins.counts.tolist()),
        confidence_sums=tuple(bins.confidence_sums.tolist()),
        correct_counts=tuple(bins.correct_counts.tolist()),
    )
