"""From a figure to a place on an axis: round ticks, clamped places."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from crisp_core.report.prose import number

STEPS = (1, 2, 2.5, 5, 10)
MARGIN = 0.02
"""Share of the drawing that is kept free at either end, so that a dot at 0 or 1 is not cut."""

MOST_DECIMALS = 4
SMALL_DECIMALS = 2
SUPERSCRIPTS = str.maketrans("23456789", "\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
NOTHING = 1e-9
"""Figures up to this are drawn as 0."""
LEAST_SPAN = 0.1
"""An axis spans at least this share of its largest value: noise does not look like a trend."""


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
        r"""Write a tick, in `unit`, with as many decimals as its neighbours need.

        Examples:
            >>> small = Scale((0.00025, 0.0005), 5)
            >>> small.label(0.00025), ascii(small.unit), Scale((-1.0, 0.0), 0).unit
            ('0.25', "'\\xd7 10\\u207b\\xb3'", '')
        """
        shown = tick * 10**self.power
        return number(shown, self.decimals - self.power)

    @property
    def power(self) -> int:
        """Ticks are written times ten to this power: 0 unless they are small."""
        return 0 if self.decimals <= MOST_DECIMALS else self.decimals - SMALL_DECIMALS

    @property
    def unit(self) -> str:
        """What a written tick has to be multiplied with; empty for itself."""
        digits = str(self.power).translate(SUPERSCRIPTS)
        return f"\N{MULTIPLICATION SIGN} 10\N{SUPERSCRIPT MINUS}{digits}" if self.power else ""


def scale_over(values: Iterable[float], intervals: int = 4) -> Scale:
    """Return an axis with round ticks that holds all `values` in about `intervals` steps.

    The values are 0 or more; where none exceeds 1, neither does the axis.

    Examples:
        >>> scale_over([0.71, 0.88]).ticks
        (0.7, 0.75, 0.8, 0.85, 0.9)
        >>> scale_over([1.0]).ticks
        (0.9, 0.925, 0.95, 0.975, 1.0)
    """
    low, high = _span(list(values) or [0.0, 1.0])
    step = _round_step((high - low) / intervals)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    decimals = max(0, -math.floor(math.log10(step)) + (_leading(step) == 2.5))  # noqa: PLR2004 - the one step of two digits
    ticks = tuple(round(index * step, decimals) for index in range(first, last + 1))
    return Scale(ticks, decimals)


def symmetric_scale(values: Iterable[float], intervals: int = 2) -> Scale:
    """Return an axis with 0 in its middle that holds all `values`, of either sign.

    Examples:
        >>> symmetric_scale([-3.1, 2.0]).ticks
        (-4.0, -2.0, 0.0, 2.0, 4.0)
    """
    reach = max((abs(value) for value in values), default=0.0)
    half = scale_over([0.0, reach], intervals)
    step = half.ticks[1] - half.ticks[0]
    count = math.ceil(reach / step - 1e-9) or 1
    ticks = (round(index * step, half.decimals) for index in range(-count, count + 1))
    return Scale(tuple(ticks), half.decimals)


UNIT_SCALE = Scale((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), 1)
"""Dice and every other share, drawn whole: nothing looks worse or better than it is."""


def _span(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    span = max(high - low, LEAST_SPAN * (high if high > NOTHING else 1.0))
    top = (low + high + span) / 2
    top = max(span, min(1.0, top) if high <= 1 else top)
    return top - span, top


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in STEPS if step * power >= raw * (1 - 1e-9))


def _leading(step: float) -> float:
    return round(step / 10.0 ** math.floor(math.log10(step)), 6)
