"""From a figure to a place on an axis: round ticks, clamped places."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

STEPS = (1, 2, 2.5, 5, 10)
MARGIN = 0.02
"""Share of the drawing that is kept free at either end, so that a dot at 0 or 1 is not cut."""


@dataclass(frozen=True)
class Scale:
    """An axis from `ticks[0]` to `ticks[-1]`."""

    ticks: tuple[float, ...]
    decimals: int

    def place(self, value: float) -> float:
        """Return the share of the axis below `value`, within [MARGIN, 1 - MARGIN]."""
        low, high = self.ticks[0], self.ticks[-1]
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return MARGIN + (1 - 2 * MARGIN) * share

    def label(self, tick: float) -> str:
        """Write a tick with as many decimals as its neighbours need."""
        return f"{tick:.{self.decimals}f}"


def scale_over(values: Iterable[float], intervals: int = 4) -> Scale:
    """Return an axis with round ticks that holds all `values` in about `intervals` steps.

    Examples:
        >>> scale_over([0.71, 0.88]).ticks
        (0.7, 0.75, 0.8, 0.85, 0.9)
        >>> scale_over([3.0]).ticks
        (2.5, 3.0, 3.5)
    """
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    if math.isclose(low, high, abs_tol=1e-9):
        low, high = low - 0.5, high + 0.5
    step = _round_step((high - low) / intervals)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    decimals = max(0, -math.floor(math.log10(step)) + (_leading(step) == 2.5))  # noqa: PLR2004 - the one step of two digits
    ticks = tuple(round(index * step, decimals) for index in range(first, last + 1))
    return Scale(ticks, decimals)


UNIT_SCALE = Scale((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), 1)
"""Dice and every other share, drawn whole: nothing looks worse or better than it is."""


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in STEPS if step * power >= raw * (1 - 1e-9))


def _leading(step: float) -> float:
    return round(step / 10.0 ** math.floor(math.log10(step)), 6)
