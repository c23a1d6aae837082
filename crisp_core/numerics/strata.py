"""Which cells a case falls into, so that a mean cannot hide the kind of case that fails."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from crisp_core.arrays import BoolArray
from crisp_core.numerics.metrics import dice

SIZES = ("below 1 ml", "1 to 10 ml", "above 10 ml")
SIZE_EDGES_ML = (1.0, 10.0)
TERTILES = ("lowest third", "middle third", "highest third")
SMALL_CELL = 5
"""A cell of fewer patients is not shown: it would speak of persons."""
Thirds: TypeAlias = tuple[float, float, float]
PARTS = 3


def size_stratum(volume_ml: float) -> str:
    """Name the fixed size class of a structure.

    Examples:
        >>> size_stratum(0.5), size_stratum(1.0), size_stratum(10.5)
        ('below 1 ml', '1 to 10 ml', 'above 10 ml')
    """
    return stratum_of(volume_ml, SIZE_EDGES_ML, SIZES)


def stratum_of(value: float, edges: Sequence[float], names: Sequence[str]) -> str:
    """Name the interval that holds a value; an edge belongs to the interval above it.

    Raises:
        ValueError: If there is not one name more than edges.
    """
    if len(names) != len(edges) + 1:
        message = f"expected {len(edges) + 1} names for {len(edges)} edges, got {len(names)}"
        raise ValueError(message)
    return names[bisect_right(edges, value)]


def tertile_edges(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the two values that cut a sample into thirds, or None if they coincide.

    Fixed once on the sources' validation cases, they mean the same at every site.

    Args:
        values: Finite, in any order.
    """
    if len(values) < PARTS:
        return None
    low, high = (float(edge) for edge in np.quantile(values, [1 / PARTS, 2 / PARTS]))
    return (low, high) if low < high else None


def dice_by_third(prediction: BoolArray, reference: BoolArray) -> Thirds | None:
    """Return the Dice of the lower, the middle and the upper third of a structure's slices.

    The reference's slices are divided; what is predicted below or above them counts for the lower
    or the upper third. Of a heart in short axis these are apex, middle and base or the reverse.

    Args:
        prediction: bool (D, H, W), slices upwards.
        reference: bool (D, H, W).

    Returns:
        None with fewer than three slices of reference.
    """
    slices = np.flatnonzero(reference.any(axis=(1, 2)))
    if slices.size == 0 or slices[-1] - slices[0] + 1 < PARTS:
        return None
    parts = np.array_split(np.arange(slices[0], slices[-1] + 1), PARTS)
    ends = (0, int(parts[1][0]), int(parts[2][0]), len(reference))
    lower, middle, upper = (
        dice(prediction[start:stop], reference[start:stop]) for start, stop in pairwise(ends)
    )
    return lower, middle, upper
