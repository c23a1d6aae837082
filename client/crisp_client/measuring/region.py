"""What a case is measured against, and the box around it in which probabilities count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crisp_client.measuring.native import NativePass
from crisp_core.arrays import BoolArray, FloatArray, IntArray
from crisp_core.numerics.calibration import box_around
from crisp_core.numerics.metrics import Hd95Definition
from crisp_core.numerics.taxonomy import MM3_PER_ML

FIRST_VOXEL = (slice(0, 1),) * 3


@dataclass(frozen=True)
class Yardstick:
    """What a case is measured against, and how.

    Attributes:
        reference: Labels (D, H, W).
        spacing_mm: Along D, H, W.
        classes: Structure of label 1, 2, …
        definition: Of the HD95 that leads the tables.
        tolerance_mm: Of the normalised surface Dice.
    """

    reference: IntArray
    spacing_mm: tuple[float, float, float]
    classes: tuple[str, ...]
    definition: Hd95Definition
    tolerance_mm: float

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(np.prod(self.spacing_mm)) / MM3_PER_ML


@dataclass(frozen=True)
class Region:
    """A recursion and its reference within the box around both, grown in-plane.

    Where reference and prediction are both empty it is a single voxel that does not count.

    Attributes:
        probabilities: (K, d, h, w).
        labels: (d, h, w).
        reference: (d, h, w).
        information: (d, h, w).
        inside: bool (d, h, w), all true or, where there is nothing, all false.
    """

    probabilities: FloatArray
    labels: IntArray
    reference: IntArray
    information: FloatArray
    inside: BoolArray

    @property
    def is_empty(self) -> bool:
        """Whether nothing counts."""
        return not self.inside.any()

    def log_odds(self, label: int) -> FloatArray:
        """Return ln p / (1 - p) of a label, (d, h, w).

        1 - p is the sum of the others: it keeps its digits where p is nearly 1.
        """
        others = np.delete(self.probabilities, label, axis=0).sum(axis=0)
        odds = np.maximum([self.probabilities[label], others], np.finfo(np.float32).tiny)
        own, rest = np.log(odds)
        return np.asarray(own - rest)


def region_of(yardstick: Yardstick, one: NativePass) -> Region:
    """Cut the region of interest out of a recursion."""
    found = box_around([one.labels > 0, yardstick.reference > 0])
    box = FIRST_VOXEL if found is None else found
    labels = one.labels[box]
    return Region(
        probabilities=one.probabilities.transpose(1, 0, 2, 3)[(slice(None), *box)],
        labels=labels,
        reference=np.ascontiguousarray(yardstick.reference[box]),
        information=one.information[box],
        inside=np.full(labels.shape, found is not None),
    )
