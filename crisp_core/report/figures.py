"""Figures as SVG, drawn here and not in the browser.

Strips (one row of a figure) are placed in percent of their width: they stretch with the page and
their text keeps its size. Colours and dashes come from the page's style sheet, by class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from crisp_core.numerics.statistics import Interval
from crisp_core.report.analysis.flags import Flags
from crisp_core.report.curves import Chart, Curve
from crisp_core.report.scales import Scale, scale_over
from crisp_core.report.svg import drawing, element, percent

HELD_OUT_STYLES = 6
SOURCE_STYLES = 4
STRIP_PX = 44
MIDDLE_PX = STRIP_PX / 2
BOX_PX = 48
AXIS_PX = 22
BAR_PX = 20
CHART_WIDTH, CHART_HEIGHT = 280, 176
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 34


@dataclass(frozen=True)
class Box:
    """A box plot's five places: quartiles, and the last points within 1.5 box lengths of them."""

    low: float
    quartile_1: float
    median: float
    quartile_3: float
    high: float


def box(values: Sequence[float]) -> Box:
    """Return Tukey's box of at least one value, quartiles interpolated linearly.

    Examples:
        >>> box([1, 2, 3, 4, 100])
        Box(low=1.0, quartile_1=2.0, median=3.0, quartile_3=4.0, high=4.0)
    """
    first, median, third = (float(q) for q in np.quantile(values, [0.25, 0.5, 0.75]))
    reach = 1.5 * (third - first)
    near = [float(value) for value in values if first - reach <= value <= third + reach]
    return Box(min(near), first, median, third, max(near))


def site_styles(roles: Mapping[str, str]) -> dict[str, str]:
    """Name the CSS class of each site: colours for held-out sites, greys and dashes for sources."""
    held_out = [site for site, role in roles.items() if role == "held-out"]
    sources = [site for site in roles if site not in held_out]
    return {
        **{site: f"h{index % HELD_OUT_STYLES}" for index, site in enumerate(held_out)},
        **{site: f"s{index % SOURCE_STYLES}" for index, site in enumerate(sources)},
    }


def swatch(style: str) -> Markup:
    """Draw a legend's short line with its point."""
    line = element("line", x1=1, x2=25, y1=6, y2=6, class_="curve")
    point = element("circle", cx=13, cy=6, r=3, class_="point")
    group = element("g", line, point, class_=style)
    return element("svg", group, width=26, height=12, aria_hidden="true")


def axis_strip(scale: Scale) -> Markup:
    """Draw the tick labels under a column of strips."""
    labels = (
        element(
            "text",
            scale.label(tick),
            x=percent(scale.place(tick)),
            y=14,
            class_="tick middle",
        )
        for tick in scale.ticks
    )
    return element("svg", *labels, class_="strip", height=AXIS_PX, aria_hidden="true")


def dot_strip(interval: Interval, scale: Scale, style: str, label: str) -> Markup:
    """Draw a mean as a dot on the line of its interval."""
    bar = []
    if interval.low is not None and interval.high is not None:
        ends = {"x1": percent(scale.place(interval.low)), "x2": percent(scale.place(interval.high))}
        bar = [element("line", y1=MIDDLE_PX, y2=MIDDLE_PX, class_="interval", **ends)]
    dot = element("circle", cx=percent(scale.place(interval.mean)), cy=MIDDLE_PX, r=6, class_="dot")
    group = element("g", *bar, dot, class_=style)
    return drawing([*_grid(scale, STRIP_PX), group], label, class_="strip", height=STRIP_PX)


def dots_strip(values: Sequence[float], scale: Scale, style: str, label: str) -> Markup:
    """Draw each value as a faint dot and their mean as a strong one."""
    faint = (
        element("circle", cx=percent(scale.place(value)), cy=MIDDLE_PX, r=3.5, class_="case")
        for value in values
    )
    mean = percent(scale.place(float(np.mean(values))))
    dot = element("circle", cx=mean, cy=MIDDLE_PX, r=6, class_="dot")
    group = element("g", *faint, dot, class_=style)
    return drawing([*_grid(scale, STRIP_PX), group], label, class_="strip", height=STRIP_PX)


def pair_strip(full: float, hollow: float, scale: Scale, style: str, label: str) -> Markup:
    """Draw two figures of one site on one axis: a full dot, a hollow one and a line between."""
    ends = {"x1": percent(scale.place(full)), "x2": percent(scale.place(hollow))}
    line = element("line", y1=MIDDLE_PX, y2=MIDDLE_PX, class_="whisker", **ends)
    dots = (
        element("circle", cx=percent(scale.place(value)), cy=MIDDLE_PX, r=6, class_=kind)
        for value, kind in ((hollow, "ring"), (full, "dot"))
    )
    group = element("g", line, *dots, class_=style)
    return drawing([*_grid(scale, STRIP_PX), group], label, class_="strip", height=STRIP_PX)


def flag_bar(found: Flags) -> Markup:
    """Draw one site's answers as a bar: accepted, the silent failures among them, and the rest."""
    counts = found.counts
    shares = {
        "accept": counts["accept"] - found.silent_count,
        "silent": found.silent_count,
        "review": counts["review"],
        "reject": counts["reject"],
    }
    total, begin, parts = len(found.flags), 0, []
    for name, count in shares.items():
        place, width = percent(begin / total), percent(count / total)
        title = element("title", f"{name}: {count}")
        parts.append(element("rect", title, x=place, width=width, y=8, height=BAR_PX, class_=name))
        begin += count
    told = ", ".join(f"{name} {count}" for name, count in shares.items())
    return drawing(parts, f"{found.group.name}: {told}", class_="strip flags", height=BAR_PX + 16)


def box_strip(points: Mapping[str, float], scale: Scale, style: str, label: str) -> Markup:
    """Draw a box plot with every case as a point; `points` is case -> value, not empty."""
    values = list(points.values())
    dots = (
        element(
            "circle",
            element("title", f"{case}: {value:.3f}"),
            cx=percent(scale.place(value)),
            cy=BOX_PX / 2 + (index * 7 % 13 - 6),  # a fixed scatter: points do not hide each other
            r=2.6,
            class_="case",
        )
        for index, (case, value) in enumerate(points.items())
    )
    group = element("g", *_box_parts(box(values), scale), *dots, class_=style)
    return drawing([*_grid(scale, BOX_PX), group], label, class_="strip", height=BOX_PX)


def line_chart(chart: Chart, styles: Mapping[str, str], scale: Scale | None = None) -> Markup:
    """Draw one small multiple; without a `scale` the y axis spans the data: read its numbers."""
    known = [value for curve in chart.curves for value in curve.values if value is not None]
    scale = scale or scale_over(known)
    curves = (
        element("g", *_curve_parts(chart, curve, scale), class_=styles[curve.site])
        for curve in reversed(chart.curves)  # the first site is drawn last, on top
    )
    sites = ", ".join(curve.site for curve in chart.curves)
    return drawing(
        [*_chart_axes(chart, scale), *curves],
        f"{chart.title} over {chart.x_label.lower()}, one line each for {sites}",
        class_="chart",
        viewBox=f"0 0 {CHART_WIDTH} {CHART_HEIGHT}",
    )


def _grid(scale: Scale, height: float) -> Iterator[Markup]:
    for tick in scale.ticks:
        place = percent(scale.place(tick))
        yield element("line", x1=place, x2=place, y1=0, y2=height, class_="grid")


def _box_parts(plot: Box, scale: Scale) -> Iterator[Markup]:
    def line(start: float, end: float, half: float, kind: str) -> Markup:
        places = {"x1": percent(scale.place(start)), "x2": percent(scale.place(end))}
        return element("line", y1=BOX_PX / 2 - half, y2=BOX_PX / 2 + half, class_=kind, **places)

    left, right = scale.place(plot.quartile_1), scale.place(plot.quartile_3)
    yield line(plot.low, plot.quartile_1, 0, "whisker")
    yield line(plot.quartile_3, plot.high, 0, "whisker")
    yield element(
        "rect", x=percent(left), width=percent(right - left), y=8, height=BOX_PX - 16, class_="box"
    )
    yield line(plot.median, plot.median, 14, "median")


def _chart_axes(chart: Chart, scale: Scale) -> Iterator[Markup]:
    right = CHART_WIDTH - RIGHT
    for tick in scale.ticks:
        y = _y(tick, scale)
        yield element("line", x1=LEFT, x2=right, y1=y, y2=y, class_="grid")
        yield element("text", scale.label(tick), x=LEFT - 6, y=y + 4, class_="tick end")
    for index in _labelled(len(chart.x_values)):
        yield element(
            "text",
            str(chart.x_values[index]),
            x=_x(index, len(chart.x_values)),
            y=CHART_HEIGHT - 20,
            class_="tick middle",
        )
    middle = (LEFT + right) / 2
    yield element("text", chart.x_label, x=middle, y=CHART_HEIGHT - 4, class_="tick middle")
    if scale.unit:
        yield element("text", scale.unit, x=LEFT - 6, y=CHART_HEIGHT - 16, class_="tick end")


def _curve_parts(chart: Chart, curve: Curve, scale: Scale) -> Iterator[Markup]:
    count = len(curve.values)
    places = [
        None if value is None else (_x(index, count), _y(value, scale))
        for index, value in enumerate(curve.values)
    ]
    for start, end in pairwise(places):
        if start and end:
            yield element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_="curve")
    for place, value, x in zip(places, curve.values, chart.x_values, strict=True):
        if place and value is not None:
            title = f"{curve.site}, {chart.x_label.lower()} {x}: {value:.3f} {chart.unit}"
            yield element(
                "circle",
                element("title", title.strip()),
                cx=place[0],
                cy=place[1],
                r=3,
                class_="point",
            )


def _x(index: int, count: int) -> float:
    span = CHART_WIDTH - LEFT - RIGHT - 24
    return LEFT + 12 + (span * index / (count - 1) if count > 1 else span / 2)


def _y(value: float, scale: Scale) -> float:
    return CHART_HEIGHT - BOTTOM - (CHART_HEIGHT - BOTTOM - TOP) * scale.place(value)


def _labelled(count: int, most: int = 8) -> range:
    return range(0, count, max(1, -(-count // most)))
