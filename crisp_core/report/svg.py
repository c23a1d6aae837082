"""SVG elements as text: every attribute and every child is escaped."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup


def element(name: str, *children: str | Markup, **attributes: str | float) -> Markup:
    """Write one element; `stroke_width` is written stroke-width and `class_` is written class.

    Examples:
        >>> str(element("text", "a < b", x="50%", class_="axis"))
        '<text x="50%" class="axis">a &lt; b</text>'
    """
    words = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _short(value))
        for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, words, Markup("").join(children))


def drawing(parts: Iterable[Markup], label: str, **attributes: str | float) -> Markup:
    """Wrap `parts` as one picture that a screen reader announces as `label`."""
    return element("svg", *parts, role="img", aria_label=label, **attributes)


def percent(fraction: float) -> str:
    """Write a place across the drawing so that it stretches with the page.

    Examples:
        >>> percent(0.255)
        '25.5%'
    """
    return f"{100 * fraction:.6g}%"


def _short(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
