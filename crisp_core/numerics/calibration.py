"""Does a probability of 0.8 mean right in 8 of 10 voxels? Counted such that sites can be joined.

A site sends three numbers per bin; the sums of several sites are those of the pooled voxels, so
every figure here is exact for a federation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import BoolArray, FloatArray, IntArray

BIN_COUNT = 15
MARGIN_VOXELS = 10
PLANE_AXES = 2


@dataclass(frozen=True)
class ReliabilityBins:
    """Voxels by confidence: bin b of B holds those in [b / B, (b + 1) / B), the last also 1.

    Attributes:
        counts: int64 (B,), voxels.
        confidence_sums: float64 (B,), sum of their confidences.
        correct_counts: int64 (B,), those that are right.
    """

    counts: IntArray
    confidence_sums: FloatArray
    correct_counts: IntArray

    @property
    def expected_calibration_error(self) -> float | None:
        """Mean over the voxels of |accuracy - confidence| of their bin (ECE); None without any.

        Source:
            Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3.
        """
        total = int(self.counts.sum())
        if total == 0:
            return None
        return float(np.abs(self.correct_counts - self.confidence_sums).sum() / total)


def reliability_bins(
    confidence: FloatArray, correct: BoolArray, bin_count: int = BIN_COUNT
) -> ReliabilityBins:
    """Sort voxels into bins of equal width.

    Args:
        confidence: In [0, 1], any shape.
        correct: bool, the same shape.
        bin_count: B.

    Raises:
        ValueError: If shapes differ or a confidence is outside [0, 1].

    Examples:
        >>> bins = reliability_bins(np.array([0.9, 0.9, 0.9, 0.9]), np.array([1, 1, 1, 0]) > 0)
        >>> round(bins.expected_calibration_error, 3)
        0.15
    """
    values, right = np.asarray(confidence, np.float64).ravel(), np.asarray(correct).ravel()
    if values.shape != right.shape:
        message = f"confidence has {values.size} values but correct has {right.size}"
        raise ValueError(message)
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        message = f"confidence must be in [0, 1], got {values.min():g} to {values.max():g}"
        raise ValueError(message)
    edges = np.linspace(0, 1, bin_count + 1)
    place = np.minimum(np.searchsorted(edges, values, side="right") - 1, bin_count - 1)
    return ReliabilityBins(
        counts=np.bincount(place, minlength=bin_count),
        confidence_sums=np.asarray(np.bincount(place, values, bin_count), np.float64),
        correct_counts=np.bincount(place[right], minlength=bin_count),
    )


def joined_bins(parts: Iterable[ReliabilityBins]) -> ReliabilityBins:
    """Return the bins of all parts' voxels together.

    Raises:
        ValueError: If there is no part or the bins differ in number.
    """
    every = list(parts)
    if len({part.counts.size for part in every}) != 1:
        message = f"expected parts with the same bins, got {[part.counts.size for part in every]}"
        raise ValueError(message)
    return ReliabilityBins(
        counts=sum((part.counts for part in every[1:]), every[0].counts),
        confidence_sums=sum((p.confidence_sums for p in every[1:]), every[0].confidence_sums),
        correct_counts=sum((p.correct_counts for p in every[1:]), every[0].correct_counts),
    )


def top_label_bins(
    probabilities: FloatArray, labels: IntArray, region: BoolArray, bin_count: int = BIN_COUNT
) -> ReliabilityBins:
    """Bin the voxels of a region by the probability of the label that wins.

    Args:
        probabilities: (C + 1, ...), summing to 1 over the first axis.
        labels: (...), 0 to C.
        region: bool (...). Over the whole volume the background makes every error vanish: take
            `region_around`.
        bin_count: B.
    """
    winner = probabilities.argmax(axis=0)
    return reliability_bins(
        probabilities.max(axis=0)[region], (winner == labels)[region], bin_count
    )


def class_bins(
    probabilities: FloatArray, labels: IntArray, region: BoolArray, bin_count: int = BIN_COUNT
) -> tuple[ReliabilityBins, ...]:
    """Bin the voxels of a region by each class's own probability, background first.

    The mean of their errors over classes is the static calibration error.

    Source:
        Nixon et al., "Measuring Calibration in Deep Learning", CVPR workshops 2019, equation 3.
    """
    return tuple(
        reliability_bins(probability[region], (labels == number)[region], bin_count)
        for number, probability in enumerate(probabilities)
    )


def region_around(masks: Iterable[BoolArray], margin_voxels: int = MARGIN_VOXELS) -> BoolArray:
    """Return the bounding box of all masks, grown in-plane; nothing if they are empty.

    Args:
        masks: bool, all of one shape (D, H, W), usually reference and prediction.
        margin_voxels: Growth along the last two axes; across slices the box stays.
    """
    every = list(masks)
    region = np.zeros_like(every[0])
    box = box_around(every, margin_voxels)
    if box is not None:
        region[box] = True
    return region


def box_around(
    masks: Iterable[BoolArray], margin_voxels: int = MARGIN_VOXELS
) -> tuple[slice, ...] | None:
    """Return the box of `region_around` as one slice an axis; None if all masks are empty."""
    whole: BoolArray = np.logical_or.reduce(list(masks))
    box = []
    for axis, side in enumerate(whole.shape):
        others = tuple(other for other in range(whole.ndim) if other != axis)
        occupied = np.flatnonzero(whole.any(axis=others))
        if occupied.size == 0:
            return None
        margin = margin_voxels if axis >= whole.ndim - PLANE_AXES else 0
        start, stop = int(occupied[0]) - margin, int(occupied[-1]) + margin + 1
        box.append(slice(max(start, 0), min(stop, side)))
    return tuple(box)


def brier_score(probabilities: FloatArray, labels: IntArray, region: BoolArray) -> float | None:
    """Return the mean over a region of the squared distance to the one-hot label; None if empty.

    It runs from 0 to 2, as Brier wrote it.

    Source:
        Brier, "Verification of forecasts expressed in terms of probability", 1950, equation 2.
    """
    if not region.any():
        return None
    classes = np.arange(len(probabilities)).reshape(-1, *(1,) * labels.ndim)
    squares = ((probabilities - (labels[None] == classes)) ** 2).sum(axis=0)
    return float(squares[region].mean())
