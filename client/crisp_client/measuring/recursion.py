"""The figures of one recursion: cheap enough to show what every recursion did."""

from __future__ import annotations

import numpy as np
import torch

from crisp_client.measuring.native import NativePass
from crisp_client.measuring.region import Region, Yardstick
from crisp_core.arrays import BoolArray, FloatArray, IntArray
from crisp_core.numerics.agreement import changed_share, mask_agreement
from crisp_core.numerics.calibration import brier_score
from crisp_core.numerics.metrics import (
    dice,
    hd95,
    hd95_of,
    precision,
    sensitivity,
    surface_distances,
    volume_error,
)
from crisp_core.numerics.surface_scores import mean_surface_distance, surface_dice
from crisp_core.numerics.uncertainty import predictive_entropy
from crisp_core.schema.messages import RecursionFigures, StructureFigures

VOXELS = (1.0, 1.0, 1.0)


def recursion_figures(
    yardstick: Yardstick, one: NativePass, region: Region, before: IntArray | None
) -> RecursionFigures:
    """Measure one recursion; `before` are the labels (D, H, W) of the one before it, if any."""
    return RecursionFigures(
        structures={
            name: _structure(yardstick, one, region, label)
            for label, name in enumerate(yardstick.classes, start=1)
        },
        uncertain=float((one.support & ~one.core).any(axis=1).mean()),
        support_coverage=float(one.support.any(axis=1).mean()),
        changed=None if before is None else _changed(before, one.labels),
        entropy=one.entropy,
        mean_entropy=_mean(predictive_entropy(region.probabilities), region.inside),
        mutual_information=_mean(region.information, region.inside),
        brier=brier_score(region.probabilities, region.reference, region.inside),
    )


def _structure(
    yardstick: Yardstick, one: NativePass, region: Region, label: int
) -> StructureFigures:
    predicted, reference = one.labels == label, yardstick.reference == label
    true = torch.from_numpy(reference)
    core, support = (
        mask_agreement(torch.from_numpy(masks[:, label - 1]), true)
        for masks in (one.core, one.support)
    )
    distances = surface_distances(predicted, reference, yardstick.spacing_mm)
    union, largest = hd95_of(distances, "union"), hd95_of(distances, "max")
    sizes = int(reference.sum()), int(predicted.sum())
    return StructureFigures(
        dice=dice(predicted, reference),
        hd95_mm=union if yardstick.definition == "union" else largest,
        hd95_voxels=hd95(predicted, reference, VOXELS, yardstick.definition),
        sensitivity=sensitivity(predicted, reference),
        precision=precision(predicted, reference),
        volume_error=volume_error(predicted, reference),
        reference_voxels=sizes[0],
        predicted_voxels=sizes[1],
        core_precision=core[0],
        core_recall=core[1],
        support_precision=support[0],
        support_recall=support[1],
        hd95_union_mm=union,
        hd95_max_mm=largest,
        assd_mm=mean_surface_distance(distances),
        surface_dice=surface_dice(distances, yardstick.tolerance_mm),
        reference_ml=sizes[0] * yardstick.voxel_ml,
        volume_error_ml=(sizes[1] - sizes[0]) * yardstick.voxel_ml,
        positive_probability=_mean(region.probabilities[label], region.reference == label),
    )


def _changed(before: IntArray, after: IntArray) -> float:
    return changed_share(torch.from_numpy(before), torch.from_numpy(after))


def _mean(values: FloatArray, mask: BoolArray) -> float | None:
    """Mean inside a mask, in float64; None where it is empty."""
    inside = values[mask]
    return float(inside.mean(dtype=np.float64)) if inside.size else None
