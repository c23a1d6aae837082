"""Plots with two axes of numbers: reliability, risk over coverage, agreement of volumes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from crisp_core.numerics.calibration import ReliabilityBins
from crisp_core.report.analysis.coverage import Coverage
from crisp_core.report.analysis.volumes import Agreement
from crisp_core.report.scales import UNIT_SCALE, Scale, scale_over, symmetric_scale
from crisp_core.report.svg import drawing, element

WIDTH, HEIGHT, HISTOGRAM_PX = 280, 204, 74
LARGE = {"width": 420, "height": 264}
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 34
POINT_PX = 3.0
BAR_GAP = 0.15
"""Share of a histogram's bar that is left free."""


@dataclass(frozen=True)
class Frame:
    """Two axes and the place that they span."""

    x: Scale
    y: Scale
    x_label: str
    width: int = WIDTH
    height: int = HEIGHT

    def across(self, value: float) -> float:
        """Return the place of a value on the x axis in px."""
        return LEFT + (self.width - LEFT - RIGHT) * self.x.place(value)

    def up(self, value: float) -> float:
        """Return the place of a value on the y axis in px."""
        return self.height - BOTTOM - (self.height - BOTTOM - TOP) * self.y.place(value)

    def line(self, start: tuple[float, float], end: tuple[float, float], kind: str) -> Markup:
        """Draw a line between two points of the plot."""
        return element(
            "line",
            x1=self.across(start[0]),
            y1=self.up(start[1]),
            x2=self.across(end[0]),
            y2=self.up(end[1]),
            class_=kind,
        )

    def path(self, points: Sequence[tuple[float, float]]) -> Iterator[Markup]:
        """Join points by lines."""
        yield from (self.line(start, end, "curve") for start, end in pairwise(points))

    def dot(self, point: tuple[float, float], title: str, kind: str = "point") -> Markup:
        """Draw a point that says what it is when it is pointed at."""
        return element(
            "circle",
            element("title", title),
            cx=self.across(point[0]),
            cy=self.up(point[1]),
            r=POINT_PX,
            class_=kind,
        )

    def drawn(self, parts: Iterable[Markup], label: str) -> Markup:
        """Draw axes and parts as one picture."""
        return drawing(
            [*self._axes(), *parts],
            label,
            class_="chart",
            viewBox=f"0 0 {self.width} {self.height}",
        )

    def _axes(self) -> Iterator[Markup]:
        right, floor = self.width - RIGHT, self.height - BOTTOM
        for tick in self.y.ticks:
            y = self.up(tick)
            yield element("line", x1=LEFT, x2=right, y1=y, y2=y, class_="grid")
            yield element("text", self.y.label(tick), x=LEFT - 6, y=y + 4, class_="tick end")
        for tick in self.x.ticks:
            place = self.across(tick)
            yield element("text", self.x.label(tick), x=place, y=floor + 15, class_="tick middle")
        middle = (LEFT + right) / 2
        yield element("text", self.x_label, x=middle, y=self.height - 4, class_="tick middle")


def reliability_plot(bins: ReliabilityBins, style: str, label: str) -> Markup:
    """Draw accuracy over confidence; a short line shows how far a bin is from what it claims."""
    frame = Frame(UNIT_SCALE, UNIT_SCALE, "Confidence")
    points = [
        (float(total) / count, float(right) / count, count)
        for count, total, right in zip(
            map(int, bins.counts), bins.confidence_sums, bins.correct_counts, strict=True
        )
        if count
    ]
    gaps = (frame.line((sure, sure), (sure, right), "gap") for sure, right, _ in points)
    dots = (
        frame.dot((sure, right), f"confidence {sure:.3f}, right {right:.3f}, {count:,} voxels")
        for sure, right, count in points
    )
    curve = frame.path([(sure, right) for sure, right, _ in points])
    group = element("g", *gaps, *curve, *dots, class_=style)
    return frame.drawn([frame.line((0, 0), (1, 1), "ideal"), group], label)


def confidence_histogram(bins: ReliabilityBins, style: str, label: str) -> Markup:
    """Draw the share of the voxels in each bin of confidence."""
    total = max(1, int(bins.counts.sum()))
    shares = [int(count) / total for count in bins.counts]
    scale = scale_over([0.0, max(shares)], intervals=2)
    frame = Frame(UNIT_SCALE, scale, "Share of voxels by confidence", height=HISTOGRAM_PX)
    width = 1 / len(shares)
    bars = (
        element(
            "rect",
            element("title", f"{place * width:.2f} to {(place + 1) * width:.2f}: {share:.1%}"),
            x=frame.across((place + BAR_GAP / 2) * width),
            width=frame.across((place + 1 - BAR_GAP / 2) * width)
            - frame.across((place + BAR_GAP / 2) * width),
            y=frame.up(share),
            height=frame.up(0) - frame.up(share),
            class_="bar",
        )
        for place, share in enumerate(shares)
        if share
    )
    return frame.drawn([element("g", *bars, class_=style)], label)


def risk_plot(found: Sequence[Coverage], styles: Mapping[str, str], label: str) -> Markup:
    """Draw mean risk over coverage, one curve a site."""
    highest = max(value for one in found for value in one.curve)
    frame = Frame(UNIT_SCALE, scale_over([0.0, highest]), "Coverage (surest cases first)", **LARGE)
    groups = (_risk_curve(frame, one, styles[one.group.name]) for one in reversed(found))
    return frame.drawn(groups, label)


def agreement_plot(found: Sequence[Agreement], styles: Mapping[str, str], label: str) -> Markup:
    """Draw Bland and Altman's plot: every case, the bias and the limits of all of `found`."""
    pairs = [pair for one in found for pair in one.pairs]
    limits = [place for one in found if one.limits for place in (one.limits.low, one.limits.high)]
    frame = Frame(
        scale_over([pair.mean_ml for pair in pairs]),
        symmetric_scale([*(pair.error_ml for pair in pairs), *limits]),
        "Mean of predicted and reference (ml)",
        **LARGE,
    )
    low, high = frame.x.ticks[0], frame.x.ticks[-1]
    parts = [frame.line((low, 0), (high, 0), "zero")]
    for one in reversed(found):
        marks: list[Markup] = []
        if one.limits:
            places = (
                (one.limits.bias, "curve"),
                (one.limits.low, "limit"),
                (one.limits.high, "limit"),
            )
            marks = [frame.line((low, place), (high, place), kind) for place, kind in places]
        dots = (
            frame.dot(
                (pair.mean_ml, pair.error_ml), f"{pair.case}: {pair.error_ml:+.2f} ml", "case"
            )
            for pair in one.pairs
        )
        parts.append(element("g", *marks, *dots, class_=styles[one.group.name]))
    return frame.drawn(parts, label)


def _risk_curve(frame: Frame, one: Coverage, style: str) -> Markup:
    points = [((n + 1) / one.case_count, risk) for n, risk in enumerate(one.curve)]
    whole = f"{one.group.name}: {one.curve[-1]:.3f} over all cases, AURC {one.area:.3f}"
    return element("g", *frame.path(points), frame.dot(points[-1], whole), class_=style)
