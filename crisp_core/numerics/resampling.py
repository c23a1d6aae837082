"""Slices on another pixel grid: separable, aligned at half pixels, smoothed where it shrinks."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy.sparse import csr_array  # type: ignore[import-untyped]  # scipy ships no types

from crisp_core.arrays import BoolArray, FloatArray, IntArray

HALF = 0.5
ROUNDING = 1e-6
TINY = 1e-12


@dataclass(frozen=True)
class AxisMap:
    """Where the pixels of a new axis lie on an old one: pixel i at `offset + step * i`.

    All in pixels of the old axis, pixel centres at whole numbers.
    """

    count: int
    offset: float
    step: float

    def inverse(self, count: int) -> AxisMap:
        """Return the map back, to an old axis of `count` pixels."""
        return AxisMap(count, -self.offset / self.step, 1 / self.step)


def stretched(old_count: int, new_count: int) -> AxisMap:
    """Map a whole axis onto `new_count` pixels; both cover the same length.

    Examples:
        >>> stretched(4, 2)
        AxisMap(count=2, offset=0.5, step=2.0)
    """
    step = old_count / new_count
    return AxisMap(new_count, HALF * step - HALF, step)


def centred(old_count: int, new_count: int, step: float) -> AxisMap:
    """Put `new_count` pixels of `step` old pixels around the middle of an axis.

    With a step of 1 the new pixels are old ones: nothing is interpolated.
    """
    offset = (old_count - 1) / 2 - step * (new_count - 1) / 2
    return AxisMap(new_count, float(offset // 1) if step == 1 else offset, step)


def resample(array: FloatArray, rows: AxisMap, columns: AxisMap, outside: float) -> FloatArray:
    """Sample the last two axes of an array with a triangle as wide as a pixel, old or new.

    That is linear interpolation where the grid becomes finer, and an average where it becomes
    coarser. The weights of a pixel sum to 1, so a constant stays what it is.

    Args:
        array: float32 (..., H, W). Not modified.
        rows: Of the new rows, on H.
        columns: Of the new columns, on W.
        outside: Value of new pixels whose centre is on no old pixel.

    Returns:
        float32 (..., h, w). The map of a grid onto itself returns equal values.
    """
    rows_of, columns_of = _weights(array.shape[-2], rows), _weights(array.shape[-1], columns)
    sampled = np.full((*array.shape[:-2], rows.count, columns.count), outside, np.float32)
    inside = np.ix_(_inside(array.shape[-2], rows), _inside(array.shape[-1], columns))
    for place in np.ndindex(array.shape[:-2]):
        sampled[place][inside] = (columns_of @ (rows_of @ array[place]).T).T[inside]
    return sampled


def resample_labels(labels: IntArray, rows: AxisMap, columns: AxisMap) -> IntArray:
    """Give every new pixel the label that fills most of it; background (0) outside.

    It is `resample` of each label's mask, then the largest share (the smaller label where two are
    equal): masks stay aligned with an image that was resampled the same way.

    Args:
        labels: (..., H, W) of whole numbers, 0 or more. Not modified.
        rows: Of the new rows, on H.
        columns: Of the new columns, on W.

    Returns:
        (..., h, w), same type.
    """
    values = np.union1d(labels, [0]).astype(labels.dtype)
    shares = [
        resample((labels == value).astype(np.float32), rows, columns, outside=float(value == 0))
        for value in values
    ]
    fullest: IntArray = values[np.argmax(shares, axis=0)]
    return fullest


def _weights(old_count: int, axis: AxisMap) -> csr_array:
    """Weight of every old pixel (column) in every new one (row); rows sum to 1, or are empty."""
    centres = axis.offset + axis.step * np.arange(axis.count)
    reach = max(1.0, axis.step)
    first = np.floor(centres - reach).astype(np.int64) + 1
    places = first[:, None] + np.arange(ceil(2 * reach))
    weights = np.clip(1 - np.abs(places - centres[:, None]) / reach, 0, None)
    weights *= (places >= 0) & (places < old_count)
    new, tap = weights.nonzero()
    values = (weights / weights.sum(axis=1, keepdims=True).clip(TINY))[new, tap]
    entries = (values.astype(np.float32), (new, places[new, tap]))
    return csr_array(entries, shape=(axis.count, old_count))


def _inside(old_count: int, axis: AxisMap) -> BoolArray:
    """Which new pixels have their centre on an old one."""
    centres = axis.offset + axis.step * np.arange(axis.count)
    inside: BoolArray = np.abs(centres - (old_count - 1) / 2) <= old_count / 2 + ROUNDING
    return inside
