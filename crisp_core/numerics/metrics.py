"""Overlap, surface distance and volume error of one structure, with every empty case defined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from scipy.spatial import cKDTree  # type: ignore[import-untyped]  # scipy ships no types

from crisp_core.arrays import BoolArray, FloatArray

Hd95Definition: TypeAlias = Literal["union", "max"]


class SurfaceDistances(NamedTuple):
    """Distance in mm of every surface voxel of one mask to the nearest of the other.

    Both masks empty: a single 0. One empty: a single diagonal of the volume.
    """

    from_prediction: FloatArray
    from_reference: FloatArray


def dice(prediction: BoolArray, reference: BoolArray) -> float:
    """Return 2 |P and R| / (|P| + |R|); both empty is 1, one empty is 0.

    Args:
        prediction: bool, any shape.
        reference: bool, the same shape.

    Examples:
        >>> dice(np.array([True, True, False]), np.array([False, True, False]))
        0.6666666666666666
    """
    _check(prediction, reference)
    size = _count(prediction) + _count(reference)
    return 2 * _count(prediction & reference) / size if size else 1.0


def sensitivity(prediction: BoolArray, reference: BoolArray) -> float | None:
    """Return the share of the reference that was found, or None without a reference."""
    _check(prediction, reference)
    size = _count(reference)
    return _count(prediction & reference) / size if size else None


def precision(prediction: BoolArray, reference: BoolArray) -> float | None:
    """Return the share of the prediction that is right, or None without a prediction."""
    return sensitivity(reference, prediction)


def volume_error(prediction: BoolArray, reference: BoolArray) -> float | None:
    """Return (|P| - |R|) / |R|, or None without a reference."""
    _check(prediction, reference)
    size = _count(reference)
    return (_count(prediction) - size) / size if size else None


def hd95(
    prediction: BoolArray,
    reference: BoolArray,
    spacing_mm: Sequence[float],
    definition: Hd95Definition = "union",
) -> float:
    """Return the 95th percentile of the surface distances in mm.

    Args:
        prediction: bool, any number of axes.
        reference: bool, the same shape.
        spacing_mm: One length per axis. Ones give voxels.
        definition: "union": percentile of both directed sets joined, as medpy; "max": larger of
            the two directed percentiles, as MONAI.

    Returns:
        0 if both are empty; the diagonal of the volume in mm if one is.
    """
    return hd95_of(surface_distances(prediction, reference, spacing_mm), definition)


def hd95_of(distances: SurfaceDistances, definition: Hd95Definition = "union") -> float:
    """Return the 95th percentile in mm of distances that are already there; see `hd95`.

    Raises:
        ValueError: If the definition is unknown.
    """
    if definition == "union":
        return float(np.percentile(np.concatenate(distances), 95))
    if definition == "max":
        return max(float(np.percentile(side, 95)) for side in distances)
    message = f"definition must be union or max, got {definition!r}"
    raise ValueError(message)


def surface_distances(
    prediction: BoolArray, reference: BoolArray, spacing_mm: Sequence[float]
) -> SurfaceDistances:
    """Measure both directed sets of distances between the surfaces of two masks.

    A surface voxel has a face neighbour outside the mask; the image's edge counts as outside.
    Voxels that lie on both surfaces have distance 0 and are not searched for.

    Args:
        prediction: bool, any number of axes.
        reference: bool, the same shape.
        spacing_mm: Positive length between voxel centres, one per axis.

    Raises:
        ValueError: If shapes differ, a mask is not bool or a spacing is not positive.
    """
    _check(prediction, reference)
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    if spacing.shape != (prediction.ndim,) or not (spacing > 0).all():
        message = f"expected {prediction.ndim} positive lengths in mm, got {tuple(spacing_mm)}"
        raise ValueError(message)
    if prediction.flags.f_contiguous:  # as read from NIfTI; walking it row by row is slow
        prediction, reference, spacing = prediction.T, reference.T, spacing[::-1]
    box, other = _bounding_box(prediction), _bounding_box(reference)
    if box is None or other is None:
        missed = box is not None or other is not None
        lone = np.array([np.linalg.norm(spacing * prediction.shape) if missed else 0.0])
        return SurfaceDistances(lone, lone)
    both = tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, other, strict=True)
    )
    first, second = (surface_of(np.ascontiguousarray(m[both])) for m in (prediction, reference))
    return SurfaceDistances(_directed(first, second, spacing), _directed(second, first, spacing))


def surface_of(mask: BoolArray) -> BoolArray:
    """Return the voxels of a mask with a face neighbour outside it, or on the image's edge."""
    inner = mask.copy()
    for axis in range(mask.ndim):
        m, i = mask.swapaxes(0, axis), inner.swapaxes(0, axis)
        i[1:] &= m[:-1]
        i[:-1] &= m[1:]
        i[0] = i[-1] = False
    return np.asarray(mask & ~inner)


def _directed(source: BoolArray, target: BoolArray, spacing: FloatArray) -> FloatArray:
    distances = np.zeros(_count(source))
    apart = source & ~target
    if apart.any():
        ends = _points_mm(target, spacing)
        tree = cKDTree(ends, leafsize=32, balanced_tree=False, compact_nodes=False)
        found, _ = tree.query(_points_mm(apart, spacing))
        distances[: len(found)] = found
    return distances


def _points_mm(mask: BoolArray, spacing: FloatArray) -> FloatArray:
    places = np.unravel_index(np.flatnonzero(mask), mask.shape)  # faster than np.argwhere
    return np.stack(places, axis=1) * spacing


def _bounding_box(mask: BoolArray) -> tuple[slice, ...] | None:
    box = [slice(None)] * mask.ndim
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        occupied = np.flatnonzero(mask[tuple(box)].any(axis=others))
        if occupied.size == 0:
            return None
        box[axis] = slice(int(occupied[0]), int(occupied[-1]) + 1)
    return tuple(box)


def _count(mask: BoolArray) -> int:
    return int(np.count_nonzero(mask))


def _check(prediction: BoolArray, reference: BoolArray) -> None:
    if prediction.dtype != np.bool_ or reference.dtype != np.bool_:
        message = f"masks must be bool, got {prediction.dtype} and {reference.dtype}"
        raise ValueError(message)
    if prediction.shape != reference.shape:
        message = f"prediction is {prediction.shape} but reference is {reference.shape}"
        raise ValueError(message)
