"""From a volume to network input on the study's grid, and back to the volume's own grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from crisp_core.arrays import BoolArray, FloatArray, IntArray
from crisp_core.files.orientation import Grid
from crisp_core.files.volumes import LabelVolume, Volume
from crisp_core.numerics.resampling import AxisMap, centred, resample, resample_labels, stretched

DARKEST = -1.0
HALF = 0.5


@dataclass(frozen=True)
class PrepareSettings:
    """How a volume becomes network input.

    Attributes:
        size: (h, w) of the study's slices in pixels.
        fit: "resize" stretches the whole slice to `size`; "crop" cuts or pads it around its middle.
        spacing_mm: Pixel spacing that "crop" resamples to first; None keeps the volume's own.
        percentiles: Of a volume's intensities; they become -1 and 1, and what lies beyond is cut.
    """

    size: tuple[int, int]
    fit: Literal["resize", "crop"] = "resize"
    spacing_mm: float | None = None
    percentiles: tuple[float, float] = (1.0, 99.0)


@dataclass(frozen=True)
class Placement:
    """Where the study's pixels lie on a volume's rows and columns."""

    rows: AxisMap
    columns: AxisMap


def placement_of(grid: Grid, settings: PrepareSettings) -> Placement:
    """Place the study's pixels on the slices of a volume."""
    rows, columns = (
        _axis(old, new, mm, settings)
        for old, new, mm in zip(grid.shape[1:], settings.size, grid.spacing_mm[1:], strict=True)
    )
    return Placement(rows, columns)


def prepare_image(volume: Volume, settings: PrepareSettings) -> FloatArray:
    """Scale a volume's intensities and put it on the study's grid.

    Returns:
        float32 (D, C, h, w) between -1 and 1; -1 where the volume does not reach.

    Raises:
        ValueError: If a channel has one value only.
    """
    placement = placement_of(volume.grid, settings)
    channels = [
        resample(scaled(channel, settings.percentiles), placement.rows, placement.columns, DARKEST)
        for channel in volume.array
    ]
    return np.stack(channels, axis=1)


def prepare_labels(labels: LabelVolume, settings: PrepareSettings) -> IntArray:
    """Put a mask on the study's grid, aligned with its image.

    Returns:
        (D, h, w); background where the volume does not reach.
    """
    placement = placement_of(labels.grid, settings)
    return resample_labels(labels.array, placement.rows, placement.columns)


def scaled(channel: FloatArray, percentiles: tuple[float, float]) -> FloatArray:
    """Map two percentiles of the intensities to -1 and 1 and cut what lies beyond.

    Where they coincide, as in a volume that is nearly all air, the extremes take their place.

    Args:
        channel: float32 (D, H, W), any unit, finite. Not modified.
        percentiles: Low and high, in percent.

    Returns:
        float32 of the same shape. Another unit (x to a x + b, a > 0) changes nothing but rounding.

    Raises:
        ValueError: If all values are equal.

    Examples:
        >>> scaled(np.float32([[[0, 5, 10]]]), (0, 100)).tolist()
        [[[-1.0, 0.0, 1.0]]]
    """
    low, high = (float(value) for value in np.percentile(channel, percentiles))
    if low == high:
        low, high = float(channel.min()), float(channel.max())
    if low == high:
        message = f"All intensities are {low:g}: there is nothing to scale"
        raise ValueError(message)
    cut = np.clip(channel, low, high)
    return ((cut - low) * (2 / (high - low)) - 1).astype(np.float32, copy=False)


def restore_probabilities(
    probabilities: FloatArray, placement: Placement, grid: Grid
) -> FloatArray:
    """Bring probabilities back to the volume's own slices.

    Args:
        probabilities: float32 (D, K, h, w) on the study's grid, channel 0 background.
        placement: As the volume was prepared.
        grid: Of the volume.

    Returns:
        float32 (D, K, H, W), linear between pixels; background 1 where the study's slice does not
        reach.
    """
    rows, columns = _back(placement, grid)
    background = resample(probabilities[:, :1], rows, columns, outside=1.0)
    structures = resample(probabilities[:, 1:], rows, columns, outside=0.0)
    return np.concatenate([background, structures], axis=1)


def restore_mask(mask: BoolArray, placement: Placement, grid: Grid) -> BoolArray:
    """Bring masks (..., h, w) back to the volume's own slices (..., H, W).

    A pixel is set where more than half of it is. A mask inside another stays inside it; nothing
    is set where the study's slice does not reach.
    """
    rows, columns = _back(placement, grid)
    return resample(mask.astype(np.float32), rows, columns, outside=0.0) > HALF


def restore_values(values: FloatArray, placement: Placement, grid: Grid) -> FloatArray:
    """Bring numbers (..., h, w) back to the volume's own slices, 0 where nothing was seen.

    Returns:
        float32 (..., H, W), linear between pixels.
    """
    rows, columns = _back(placement, grid)
    return resample(values, rows, columns, outside=0.0)


def _axis(old_count: int, new_count: int, mm: float, settings: PrepareSettings) -> AxisMap:
    if settings.fit == "resize":
        return stretched(old_count, new_count)
    step = 1.0 if settings.spacing_mm is None else settings.spacing_mm / mm
    return centred(old_count, new_count, step)


def _back(placement: Placement, grid: Grid) -> tuple[AxisMap, AxisMap]:
    _, height, width = grid.shape
    return placement.rows.inverse(height), placement.columns.inverse(width)
