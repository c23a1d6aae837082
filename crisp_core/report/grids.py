"""Tables of methods against sites: means over seeds, the best of a column, the worst of a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, key_of, words


@dataclass(frozen=True)
class Spread:
    """One figure of one method over its seeds."""

    mean: float
    sd: float | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class Column:
    """A column: its heading, what it rests on, and how its figures are written."""

    label: str
    sample: str = ""
    """Cases and, in brackets, patients."""
    site: bool = False
    """A held-out site: a method's worst is looked for among these."""
    higher_is_better: bool | None = None
    decimals: int = 3
    difference: bool = False
    """Written with its sign."""


@dataclass(frozen=True)
class Cell:
    """A figure with its marks."""

    spread: Spread | None
    best: bool
    worst: bool


@dataclass(frozen=True)
class Grid:
    """One table of the comparison."""

    title: str
    columns: tuple[Column, ...]
    rows: dict[str, tuple[Cell, ...]]


def spread(values: Iterable[float | None]) -> Spread | None:
    """Summarise the seeds that have a figure; None if none has.

    Examples:
        >>> spread([0.5, 0.7, None])
        Spread(mean=0.6, sd=0.14142135623730948, values=(0.5, 0.7))
    """
    known = tuple(value for value in values if value is not None)
    if not known:
        return None
    return Spread(fmean(known), stdev(known) if len(known) > 1 else None, known)


def grid(
    title: str, columns: Sequence[Column], figures: Mapping[str, Sequence[Spread | None]]
) -> Grid:
    """Mark the best method of every column and every method's worst held-out site.

    What is equal in the printed digits is equally good or bad; where all are equal, none is marked.
    """
    best = [
        _extreme(column, [row[index] for row in figures.values()], best=True)
        if column.higher_is_better is not None
        else None
        for index, column in enumerate(columns)
    ]
    return Grid(
        title, tuple(columns), {m: _marked(columns, row, best) for m, row in figures.items()}
    )


def sheet_of(table: Grid, name: str, row_heading: str, note: str = "") -> Sheet:
    """Return a grid as a table to be written: one row a method, one column a figure."""
    several = any(c.spread and c.spread.sd is not None for row in table.rows.values() for c in row)
    headings = (
        Heading(
            key=key_of(column.label) if " " in column.label else column.label,
            label=column.label,
            kind="difference" if column.difference else "figure",
            decimals=column.decimals,
            parts=("sd",) if several else (),
            sample=column.sample,
        )
        for column in table.columns
    )
    rows = ((words(name), *map(_entry, cells)) for name, cells in table.rows.items())
    first = Heading(key_of(row_heading), row_heading, kind="words")
    return Sheet(name, table.title, (first, *headings), tuple(rows), note)


def _entry(cell: Cell) -> Entry:
    if cell.spread is None:
        return Entry(None)
    return Entry(cell.spread.mean, sd=cell.spread.sd, best=cell.best, worst=cell.worst)


def _marked(
    columns: Sequence[Column], row: Sequence[Spread | None], best: Sequence[float | None]
) -> tuple[Cell, ...]:
    sites = [(c, s) for c, s in zip(columns, row, strict=True) if c.site]
    worst = _extreme(sites[0][0], [s for _, s in sites], best=False) if sites else None
    return tuple(
        Cell(
            spread=entry,
            best=top is not None and _rounded(entry, column) == top,
            worst=column.site and worst is not None and _rounded(entry, column) == worst,
        )
        for column, entry, top in zip(columns, row, best, strict=True)
    )


def _extreme(column: Column, entries: Sequence[Spread | None], *, best: bool) -> float | None:
    """Return the best or worst of entries that differ; a column without a direction rises."""
    known = {value for entry in entries if (value := _rounded(entry, column)) is not None}
    choose = max if best == (column.higher_is_better is not False) else min
    return choose(known) if len(known) > 1 else None


def _rounded(entry: Spread | None, column: Column) -> float | None:
    return None if entry is None else round(entry.mean, column.decimals)
