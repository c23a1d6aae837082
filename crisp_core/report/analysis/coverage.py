"""Does being unsure foretell being wrong? Risk over coverage, case by case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from crisp_core.numerics.uncertainty import (
    area_under_risk_coverage,
    rank_correlation,
    risk_coverage,
)
from crisp_core.report.analysis.groups import Group, groups
from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, key_of, named, words
from crisp_core.report.tables import DICE, case_value
from crisp_core.schema.messages import CaseFigures
from crisp_core.schema.summary import RunSummary

Reader = Callable[[CaseFigures], float | None]
MEASURES: dict[str, Reader] = {
    "guard's entropy": lambda case: case.answer.entropy,
    "predictive entropy": lambda case: case.answer.mean_entropy,
    "mutual information": lambda case: case.answer.mutual_information,
    "uncertain share": lambda case: case.answer.uncertain,
}


@dataclass(frozen=True)
class Coverage:
    """One measure of uncertainty at one site, or at several together."""

    group: Group
    measure: str
    case_count: int
    curve: tuple[float, ...]
    """Mean 1 - Dice of the n surest cases, n = 1 … all."""
    area: float
    """Of the curve (AURC); smaller is better."""
    chance: float
    """The area if the measure said nothing: the mean risk."""
    rho: float | None
    """Spearman's, of uncertainty against risk."""


def coverages(summary: RunSummary, sites: Sequence[str]) -> tuple[Coverage, ...]:
    """Return every measure that was made at every case of a group."""
    found = (
        _coverage(summary, group, name, read)
        for name, read in MEASURES.items()
        for group in groups(summary, sites)
    )
    return tuple(one for one in found if one)


def coverage_sheet(found: Sequence[Coverage]) -> Sheet:
    """List area and rank correlation of every measure, one row a site."""
    by_group: dict[str, dict[str, Coverage]] = {}
    for one in found:
        by_group.setdefault(one.group.name, {})[one.measure] = one
    measures = [name for name in MEASURES if any(name in own for own in by_group.values())]
    return Sheet(
        "risk-coverage",
        "Risk and coverage",
        (
            *named(("Site", "Role")),
            *named(("Cases",), kind="count"),
            Heading("no_ranking", "Without ranking"),
            *(heading for name in measures for heading in _headings(name)),
        ),
        tuple(tuple(_entries(own, measures)) for own in by_group.values()),
        "AURC: area under the mean risk (1 \N{MINUS SIGN} Dice) of the surest cases; lower is "
        "better, and without ranking it is the mean risk. Spearman: rank correlation of "
        "uncertainty with risk; 1 means that the least sure case is the worst.",
    )


def _headings(measure: str) -> tuple[Heading, Heading]:
    key = key_of(measure)
    return (
        Heading(f"aurc_{key}", f"AURC, {measure}"),
        Heading(f"spearman_{key}", f"Spearman, {measure}", kind="difference", decimals=2),
    )


def _entries(own: Mapping[str, Coverage], measures: Sequence[str]) -> Iterator[Entry]:
    first = next(iter(own.values()))
    yield from map(words, (first.group.name, first.group.role))
    yield from map(Entry, (first.case_count, first.chance))
    for name in measures:
        yield Entry(own[name].area if name in own else None)
        yield Entry(own[name].rho if name in own else None)


def _coverage(summary: RunSummary, group: Group, measure: str, read: Reader) -> Coverage | None:
    pairs = [
        (read(case), case_value(case.answer, DICE, summary.study.classes)) for case in group.cases
    ]
    known = [
        (unsure, 1 - dice) for unsure, dice in pairs if unsure is not None and dice is not None
    ]
    if not known or len(known) < len(pairs):
        return None
    unsure, risk = [one for one, _ in known], [one for _, one in known]
    return Coverage(
        group=group,
        measure=measure,
        case_count=len(known),
        curve=tuple(map(float, risk_coverage(unsure, risk))),
        area=area_under_risk_coverage(unsure, risk),
        chance=fmean(risk),
        rho=rank_correlation(unsure, risk),
    )
