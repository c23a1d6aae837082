"""Detection lesion by lesion: a large lesion must not hide a missed small one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from crisp_core.arrays import BoolArray, IntArray

SAME_LESION = 0.1


@dataclass(frozen=True, slots=True)
class LesionCounts:
    """How many lesions there are, were found and were made up; counts of cases add up."""

    reference: int
    detected: int
    """Of the reference, those that some predicted lesion matches."""
    predicted: int
    matched: int
    """Of the predicted, those that match some lesion of the reference."""

    def __add__(self, other: LesionCounts) -> LesionCounts:
        return LesionCounts(
            self.reference + other.reference,
            self.detected + other.detected,
            self.predicted + other.predicted,
            self.matched + other.matched,
        )

    @property
    def sensitivity(self) -> float | None:
        """Share of the reference's lesions that were found; None without any."""
        return self.detected / self.reference if self.reference else None

    @property
    def precision(self) -> float | None:
        """Share of the predicted lesions that are real; None without any."""
        return self.matched / self.predicted if self.predicted else None


def count_lesions(
    prediction: BoolArray, reference: BoolArray, overlap: float = SAME_LESION
) -> LesionCounts:
    """Match the connected components of two masks.

    Components touch by face, edge or corner. Two match when their intersection over union is at
    least `overlap`; one component may match several.

    Args:
        prediction: bool, any number of axes.
        reference: bool, the same shape.
        overlap: Least intersection over union, in (0, 1].

    Raises:
        ValueError: If shapes differ or the overlap is out of range.
    """
    if prediction.shape != reference.shape:
        message = f"prediction is {prediction.shape} but reference is {reference.shape}"
        raise ValueError(message)
    if not 0 < overlap <= 1:
        message = f"overlap must be in (0, 1], got {overlap}"
        raise ValueError(message)
    touching = np.ones((3,) * prediction.ndim)
    found, found_count = ndimage.label(prediction, touching)
    real, real_count = ndimage.label(reference, touching)
    shared = _joint_sizes(found, real, (found_count + 1, real_count + 1))
    found_sizes, real_sizes = shared.sum(axis=1)[1:], shared.sum(axis=0)[1:]
    common = shared[1:, 1:]
    union = found_sizes[:, None] + real_sizes[None, :] - common
    match = common >= overlap * union
    return LesionCounts(
        reference=real_count,
        detected=int(match.any(axis=0).sum()),
        predicted=found_count,
        matched=int(match.any(axis=1).sum()),
    )


def _joint_sizes(first: IntArray, second: IntArray, shape: tuple[int, int]) -> IntArray:
    """Count the voxels that carry label i in `first` and j in `second`, (I, J)."""
    joint = first.astype(np.int64).ravel() * shape[1] + second.ravel()
    return np.bincount(joint, minlength=shape[0] * shape[1]).reshape(shape)
