"""Scores that need nothing but the distances between two surfaces."""

from __future__ import annotations

import numpy as np

from crisp_core.numerics.metrics import SurfaceDistances


def mean_surface_distance(distances: SurfaceDistances) -> float:
    """Return the average symmetric surface distance (ASSD) in mm.

    Both directed sets are pooled, as in medpy. Both masks empty is 0, one empty the diagonal of the
    volume.
    """
    return float(np.concatenate(distances).mean())


def surface_dice(distances: SurfaceDistances, tolerance_mm: float) -> float:
    """Return the share of both surfaces that lies within `tolerance_mm` of the other.

    Both masks empty is 1, one empty is 0. Every surface voxel counts the same, as in MONAI; the
    authors weigh by the area of its surface elements.

    Args:
        distances: Of `crisp_core.numerics.metrics.surface_distances`.
        tolerance_mm: At least 0; a distance equal to it counts as near.

    Raises:
        ValueError: If the tolerance is negative or not finite.

    Source:
        Nikolov et al., "Clinically Applicable Segmentation of Head and Neck Anatomy for
        Radiotherapy", JMIR 2021, equation 1 (normalised surface Dice).

    Examples:
        >>> near = SurfaceDistances(np.array([0.0, 1.0]), np.array([0.0, 3.0]))
        >>> surface_dice(near, tolerance_mm=2.0)
        0.75
    """
    if not 0 <= tolerance_mm < np.inf:
        message = f"tolerance_mm must be 0 or more and finite, got {tolerance_mm}"
        raise ValueError(message)
    near = sum(int(np.count_nonzero(side <= tolerance_mm)) for side in distances)
    return near / sum(side.size for side in distances)
