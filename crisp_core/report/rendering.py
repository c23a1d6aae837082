"""Templates to text: everything that is not drawn here is escaped."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from crisp_core.report import figures, plots, prose
from crisp_core.report.repeat import portable
from crisp_core.report.sheets.html import html_text


def render(template: str, **context: Any) -> str:  # noqa: ANN401 - a template takes what it names
    """Fill a page of `templates/`; a name that the page misses is an error, not a blank."""
    return _environment().get_template(template).render(context)


def _coded(sentence: str) -> Markup:
    """Write what stands between backticks as code."""
    parts = sentence.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part
        for place, part in enumerate(parts)
    )


@cache
def _environment() -> Environment:
    loader = PackageLoader("crisp_core.report")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=prose.number,
        signed=prose.signed,
        bounds=prose.bounds,
        confidence=prose.confidence,
        listed=prose.listed,
        duration=prose.duration,
        moment=prose.moment,
        coded=_coded,
        portable=portable,
    )
    environment.globals.update(
        count=prose.count,
        sample=prose.sample,
        swatch=figures.swatch,
        axis_strip=figures.axis_strip,
        dot_strip=figures.dot_strip,
        dots_strip=figures.dots_strip,
        box_strip=figures.box_strip,
        line_chart=figures.line_chart,
        table=html_text,
        reliability_plot=plots.reliability_plot,
        confidence_histogram=plots.confidence_histogram,
        risk_plot=plots.risk_plot,
        agreement_plot=plots.agreement_plot,
        pair_strip=figures.pair_strip,
        flag_bar=figures.flag_bar,
    )
    script = loader.get_source(environment, "tables.js")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals.update(script=Markup(script), script_hash=f"sha256-{digest}")  # noqa: S704 - our own file
    return environment
