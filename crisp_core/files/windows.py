"""Windows over a volume that is larger than a study's crop: nothing in it goes unseen."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

from crisp_core.arrays import BoolArray, FloatArray
from crisp_core.files.orientation import Grid
from crisp_core.files.preprocess import (
    DARKEST,
    HALF,
    Placement,
    PrepareSettings,
    placement_of,
    scaled,
)
from crisp_core.files.volumes import Volume
from crisp_core.numerics.resampling import AxisMap, resample

ROUNDING = 1e-6
OVERLAP = 0.25
"""Least share of a window that its neighbour sees too."""


def window_placements(grid: Grid, settings: PrepareSettings) -> tuple[Placement, ...]:
    """Place as few windows of the study's size as cover every slice of a volume whole.

    A volume that fits gets one window: the place where the study prepares it. Others get a
    regular lattice of windows around the middle, row by row, that overlap by a quarter or more.
    """
    middle = placement_of(grid, settings)
    rows, columns = (
        _along(axis, length)
        for axis, length in zip((middle.rows, middle.columns), grid.shape[1:], strict=True)
    )
    return tuple(Placement(row, column) for row in rows for column in columns)


def prepare_windows(
    volume: Volume, settings: PrepareSettings, placements: Sequence[Placement]
) -> FloatArray:
    """Scale a volume's intensities, all of them at once, and cut it into windows.

    Returns:
        float32 (W, D, C, h, w). With one window that window is `prepare_image`.

    Raises:
        ValueError: If a channel has one value only.
    """
    channels = np.stack([scaled(one, settings.percentiles) for one in volume.array], axis=1)
    parts = [resample(channels, place.rows, place.columns, DARKEST) for place in placements]
    return np.stack(parts)


def blend_windows(
    values: FloatArray, placements: Sequence[Placement], grid: Grid, outside: float
) -> FloatArray:
    """Bring the windows' values back to the volume's own slices; overlaps are blended.

    A window counts for less towards its rim, so that no seam shows.

    Args:
        values: float32 (W * D, …, h, w) on the study's grid.
        placements: The W windows.
        grid: Of the volume.
        outside: Value where no window reaches.

    Returns:
        float32 (D, …, H, W), linear between pixels.
    """
    parts = np.split(values, len(placements))
    total = np.zeros((*parts[0].shape[:-2], *grid.shape[1:]), np.float32)
    weights = np.zeros(grid.shape[1:], np.float32)
    for part, place in zip(parts, placements, strict=True):
        rows, columns = (
            axis.inverse(length)
            for axis, length in zip((place.rows, place.columns), grid.shape[1:], strict=True)
        )
        rim = np.outer(_tent(place.rows.count), _tent(place.columns.count))
        weight = resample(rim, rows, columns, outside=0.0)
        total += weight * resample(part, rows, columns, outside=0.0)
        weights += weight
    seen = weights > 0
    return np.where(seen, total / np.where(seen, weights, 1), np.float32(outside))


def blend_masks(masks: BoolArray, placements: Sequence[Placement], grid: Grid) -> BoolArray:
    """Bring masks back as `blend_windows` does: set where more than half of a pixel is.

    A mask inside another stays inside it.
    """
    return blend_windows(masks.astype(np.float32), placements, grid, outside=0.0) > HALF


def _along(middle: AxisMap, length: int) -> list[AxisMap]:
    """Spread windows along one axis of `length` old pixels, so that each pixel's centre is seen."""
    whole = middle.step == 1  # windows then lie on old pixels, not between them
    reach = length if whole else ceil((length - 1) / middle.step - ROUNDING)
    if reach <= middle.count:
        return [middle]
    stride = max(1, int(middle.count * (1 - OVERLAP)))
    count = 1 + ceil((reach - middle.count) / stride)
    if whole:
        offsets = np.rint(np.linspace(0, length - middle.count, count))
    else:
        rim = middle.step * (reach - middle.count) / 2
        offsets = middle.offset + np.linspace(-rim, rim, count)
    return [AxisMap(middle.count, float(offset), middle.step) for offset in offsets]


def _tent(count: int) -> FloatArray:
    """Rise from the rim to the middle, above zero everywhere."""
    distance = np.minimum(np.arange(count), np.arange(count)[::-1]) + 1
    tent: FloatArray = (distance / distance.max()).astype(np.float32)
    return tent
