"""In which way the answers are wrong: too little, too much nearby, far away, to one side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, named, words
from crisp_core.schema.messages import TaxonomyFigures
from crisp_core.schema.summary import RunSummary


@dataclass(frozen=True)
class Errors:
    """One structure at one site."""

    site: str
    role: str
    structure: str
    figures: tuple[TaxonomyFigures, ...]
    """One a case."""

    @property
    def under_segmented(self) -> int:
        """Cases of which less than 70 % was found."""
        return sum(one.under_segmented for one in self.figures)

    @property
    def leaking(self) -> int:
        """Cases with false positive volume near the reference."""
        return sum(one.leakage_ml > 0 for one in self.figures)

    @property
    def distant(self) -> int:
        """Cases with a predicted component that has no reference near it."""
        return sum(one.distant_components > 0 for one in self.figures)

    @property
    def offset_mm(self) -> tuple[float, float, float] | None:
        """Mean centroid offset along D, H, W: what all cases share."""
        known = [one.offset_mm for one in self.figures if one.offset_mm is not None]
        if not known:
            return None
        depth, height, width = (fmean(axis) for axis in zip(*known, strict=True))
        return depth, height, width


def errors(summary: RunSummary, sites: Sequence[str]) -> tuple[Errors, ...]:
    """Return every structure of every site that sent its errors."""
    found = (
        Errors(
            site,
            summary.study.sites[site].role,
            structure,
            tuple(c.errors[structure] for c in summary.final[site].cases if structure in c.errors),
        )
        for site in sites
        for structure in summary.study.classes
    )
    return tuple(one for one in found if one.figures)


def error_sheet(found: Sequence[Errors]) -> Sheet:
    """List how often each kind of error is, and how large it is on average."""
    return Sheet(
        "errors",
        "Kinds of error",
        (
            *named(("Site", "Role", "Structure")),
            *named(("Cases", "Under-segmented", "Leaking"), kind="count"),
            Heading("leakage_ml", "Leakage", "ml, mean", decimals=2),
            *named(("Distant",), kind="count"),
            Heading("distant_ml", "Distant volume", "ml, mean", decimals=2),
            Heading("offset_mm", "Offset", "mm", decimals=1),
            *named(("Along D, H, W (mm)",)),
        ),
        tuple((*map(words, (one.site, one.role, one.structure)), *_entries(one)) for one in found),
        "Numbers of cases: under-segmented is less than 70 % of the reference found; leaking is "
        "false positive volume within 10 mm of the reference; distant is a predicted component "
        "without any reference within 10 mm. Offset: the mean over cases of prediction's centroid "
        "less reference's; a length far from 0 is a bias to one side.",
    )


def _entries(one: Errors) -> Iterator[Entry]:
    offset = one.offset_mm
    yield from map(Entry, (len(one.figures), one.under_segmented, one.leaking))
    yield Entry(fmean(each.leakage_ml for each in one.figures))
    yield Entry(one.distant)
    yield Entry(fmean(each.distant_ml for each in one.figures))
    yield Entry(None if offset is None else math.hypot(*offset))
    yield words("" if offset is None else ", ".join(f"{x:+.1f}" for x in offset))
