"""A prediction as arrays on the image's own grid, and what is measured on them; no torch here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from crisp_core.arrays import BoolArray, FloatArray, IntArray
from crisp_core.files.orientation import SPACE, Grid
from crisp_core.numerics.uncertainty import predictive_entropy
from crisp_core.schema.answer import StructureAnswer
from crisp_core.schema.risk import RiskEvidence

MM3_PER_ML = 1000


@dataclass(frozen=True)
class Answer:
    """What the network says about one image.

    Attributes:
        labels: uint8 (D, H, W), 0 is background.
        probabilities: float32 (D, K, H, W), channel 0 background.
        core: (D, C, H, W).
        support: (D, C, H, W).
        recursions: How many passes were made.
        chosen: Which of them answers, from 1.
        changed: Share of voxels that the last pass labelled otherwise; None with one pass.
        entropy: The guard's figure of the answer.
        windows: How many windows covered a slice.
        evidence: What the network knows about its own answer; None: nothing.
    """

    labels: IntArray
    probabilities: FloatArray
    core: BoolArray
    support: BoolArray
    recursions: int
    chosen: int
    changed: float | None
    entropy: float
    windows: int
    evidence: RiskEvidence | None = None

    @property
    def uncertainty(self) -> FloatArray:
        """Entropy of each voxel, float32 (D, H, W): 0 certain, 1 every class equally likely."""
        classes_first = self.probabilities.swapaxes(0, 1)
        return (predictive_entropy(classes_first) / log(len(classes_first))).astype(np.float32)

    @property
    def uncertain(self) -> float:
        """Share of voxels in some support and not in its core."""
        return float((self.support & ~self.core).any(axis=1).mean())


def with_largest_component(answer: Answer, indices: Collection[int]) -> Answer:
    """Keep of these structures (from 0) the largest part that hangs together by faces.

    The other parts become background. Of equally large parts the first one stays.
    """
    labels = answer.labels.copy()
    for index in indices:
        parts, count = ndimage.label(labels == index + 1)
        if count > 1:
            sizes = np.bincount(parts.ravel())[1:]
            labels[(parts > 0) & (parts != 1 + sizes.argmax())] = 0
    return replace(answer, labels=labels)


def structures_of(answer: Answer, names: Sequence[str], grid: Grid) -> dict[str, StructureAnswer]:
    """Measure every structure in voxels and in millilitres."""
    ml = voxel_ml(grid)
    return {
        name: StructureAnswer(
            voxels=(voxels := int((answer.labels == index + 1).sum())),
            volume_ml=voxels * ml,
            core_ml=int(answer.core[:, index].sum()) * ml,
            support_ml=int(answer.support[:, index].sum()) * ml,
        )
        for index, name in enumerate(names)
    }


def voxel_ml(grid: Grid) -> float:
    """Return a voxel's volume; a sheared grid's too.

    Examples:
        >>> from crisp_core.files.orientation import grid_of
        >>> voxel_ml(grid_of((4, 4, 2), np.diag([1.0, 1.0, 8.0, 1.0])))
        0.008
    """
    return abs(float(np.linalg.det(np.array(grid.affine)[:SPACE, :SPACE]))) / MM3_PER_ML
