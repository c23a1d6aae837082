"""In which way a segmentation is wrong: too little, too much nearby, far away, or to one side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types
from scipy.spatial import cKDTree  # type: ignore[import-untyped]  # likewise

from crisp_core.arrays import BoolArray, FloatArray
from crisp_core.numerics.metrics import sensitivity, surface_of

NEAR_MM = 10.0
LEAST_RECALL = 0.7
MM3_PER_ML = 1000.0


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """The errors of one structure of one case.

    Attributes:
        under_segmented: Less than `LEAST_RECALL` of the reference was found.
        leakage_ml: False positive volume within `NEAR_MM` of the reference.
        distant_ml: Volume of the predicted components without any reference within `NEAR_MM`.
        distant_components: How many those are.
        offset_mm: Centroid of the prediction less that of the reference, along each axis; None if
            one of them is empty.
    """

    under_segmented: bool
    leakage_ml: float
    distant_ml: float
    distant_components: int
    offset_mm: tuple[float, ...] | None


def taxonomy_of(
    prediction: BoolArray, reference: BoolArray, spacing_mm: Sequence[float]
) -> Taxonomy:
    """Sort the errors of a prediction.

    Without a reference every predicted component is distant; a prediction that is empty where there
    is a reference is under-segmented and nothing else.

    Args:
        prediction: bool, any number of axes.
        reference: bool, the same shape.
        spacing_mm: Length between voxel centres, one per axis.

    Raises:
        ValueError: If shapes differ or a mask is not bool.
    """
    recall = sensitivity(prediction, reference)
    near = _near(prediction, reference, spacing_mm)
    touching = np.ones((3,) * prediction.ndim)
    components, count = ndimage.label(prediction, touching)
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
    close = np.bincount(components[near], minlength=count + 1)[1:] > 0
    voxel_ml = float(np.prod(spacing_mm)) / MM3_PER_ML
    return Taxonomy(
        under_segmented=recall is not None and recall < LEAST_RECALL,
        leakage_ml=int((near & ~reference).sum()) * voxel_ml,
        distant_ml=int(sizes[~close].sum()) * voxel_ml,
        distant_components=int((~close).sum()),
        offset_mm=_offset_mm(prediction, reference, spacing_mm),
    )


def _near(prediction: BoolArray, reference: BoolArray, spacing_mm: Sequence[float]) -> BoolArray:
    """Return the predicted voxels that are in the reference or within `NEAR_MM` of it."""
    near: BoolArray = prediction & reference
    outside = np.flatnonzero(prediction & ~reference)
    ends = np.argwhere(surface_of(reference)) * np.asarray(spacing_mm, np.float64)
    if outside.size and len(ends):
        places = np.stack(np.unravel_index(outside, reference.shape), axis=1) * spacing_mm
        tree = cKDTree(ends, leafsize=32, balanced_tree=False, compact_nodes=False)
        reach = np.nextafter(NEAR_MM, np.inf)  # the bound itself is excluded
        distances, _ = tree.query(places, distance_upper_bound=reach)
        near.flat[outside[np.isfinite(distances)]] = True
    return near


def _offset_mm(
    prediction: BoolArray, reference: BoolArray, spacing_mm: Sequence[float]
) -> tuple[float, ...] | None:
    if not prediction.any() or not reference.any():
        return None
    apart: FloatArray = (_centroid(prediction) - _centroid(reference)) * np.asarray(spacing_mm)
    return tuple(float(length) for length in apart)


def _centroid(mask: BoolArray) -> FloatArray:
    return np.array([places.mean() for places in np.nonzero(mask)])
