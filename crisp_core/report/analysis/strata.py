"""Which kind of case fails: means over cells, without the cells that would speak of persons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from crisp_core.report.analysis.groups import TOGETHER, Group
from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, named, words
from crisp_core.report.tables import DICE, HD95, METRICS, Metric, case_value, mean_or_none
from crisp_core.schema.messages import CaseFigures
from crisp_core.schema.summary import RunSummary

SMALL_CELL = 5
"""A cell of fewer patients is not shown."""
THIRDS = ("lower third", "middle third", "upper third")
PLACE = "slice position"
SHOWN = (DICE, HD95, next(metric for metric in METRICS if metric.key == "sensitivity"))


@dataclass(frozen=True)
class Cell:
    """The cases of one kind at the sites of one role."""

    role: str
    kind: str
    stratum: str
    case_count: int
    patient_count: int
    figures: dict[str, float | None]
    suppressed: bool = False
    """Fewer than `SMALL_CELL` patients, or the cell from which such a one could be computed."""


def cells(summary: RunSummary, sites: Sequence[str]) -> tuple[Cell, ...]:
    """Return every cell of every kind of strata, held-out sites and sources apart."""
    return tuple(
        cell
        for role in TOGETHER
        for kind in _kinds(summary, _of_role(summary, sites, role).cases)
        for cell in _guarded(list(_cells(summary, _of_role(summary, sites, role), kind)))
    )


def strata_sheet(found: Sequence[Cell]) -> Sheet:
    """List the cells; of a suppressed one its name alone."""
    return Sheet(
        "strata",
        "By kind of case",
        (
            *named(("Kind", "Stratum", "Sites")),
            *named(("Cases", "Patients"), kind="count"),
            *(Heading(m.key, m.label, m.unit, decimals=m.decimals) for m in SHOWN),
        ),
        tuple(
            (
                *map(words, (cell.kind, cell.stratum, TOGETHER[cell.role])),
                *_entries(cell),
            )
            for cell in found
        ),
        f"A cell of fewer than {SMALL_CELL} patients is not shown, nor the next smallest where the "
        "hidden one could be computed from the rest. Figures are means over cases.",
    )


def _entries(cell: Cell) -> Iterator[Entry]:
    if cell.suppressed:
        yield from (Entry(None) for _ in range(2 + len(SHOWN)))
    else:
        yield from map(Entry, (cell.case_count, cell.patient_count))
        yield from (Entry(cell.figures[metric.key]) for metric in SHOWN)


def _of_role(summary: RunSummary, sites: Sequence[str], role: str) -> Group:
    own = (site for site in sites if summary.study.sites[site].role == role)
    return Group(TOGETHER[role], role, tuple(summary.final[site] for site in own))


def _kinds(summary: RunSummary, cases: Sequence[CaseFigures]) -> list[str]:
    placed = any(_third(case, summary.study.classes, 0) is not None for case in cases)
    return [*sorted({kind for case in cases for kind in case.strata}), *([PLACE] if placed else [])]


def _cells(summary: RunSummary, group: Group, kind: str) -> Iterator[Cell]:
    classes = summary.study.classes
    if kind == PLACE:
        yield from (_third_cell(group, classes, index) for index in range(len(THIRDS)))
        return
    for stratum in sorted({case.strata[kind] for case in group.cases if kind in case.strata}):
        own = [member for member in group.members if member[1].strata.get(kind) == stratum]
        figures = {metric.key: _mean(own, metric, classes) for metric in SHOWN}
        yield Cell(group.role, kind, stratum, len(own), _patient_count(own), figures)


def _third_cell(group: Group, classes: Sequence[str], index: int) -> Cell:
    values = [(member, _third(member[1], classes, index)) for member in group.members]
    known = [member for member, value in values if value is not None]
    dice = mean_or_none(value for _, value in values)
    figures = {**dict.fromkeys(metric.key for metric in SHOWN), DICE.key: dice}
    return Cell(group.role, PLACE, THIRDS[index], len(known), _patient_count(known), figures)


def _third(case: CaseFigures, classes: Sequence[str], index: int) -> float | None:
    found = (case.answer.structures.get(name) for name in classes)
    return mean_or_none(one.dice_by_third[index] for one in found if one and one.dice_by_third)


def _guarded(found: Sequence[Cell]) -> list[Cell]:
    """Hide the small cells and, where only one is, the next smallest: differences tell as well."""
    ranked = sorted(range(len(found)), key=lambda place: found[place].patient_count)
    small = [place for place in ranked if found[place].patient_count < SMALL_CELL]
    hidden = set(ranked[:2] if len(small) == 1 else small)
    return [replace(cell, suppressed=place in hidden) for place, cell in enumerate(found)]


def _patient_count(members: Sequence[tuple[str, CaseFigures]]) -> int:
    return len({(site, case.patient) for site, case in members})


def _mean(
    members: Sequence[tuple[str, CaseFigures]], metric: Metric, classes: Sequence[str]
) -> float | None:
    return mean_or_none(case_value(case.answer, metric, classes) for _, case in members)
