"""Tables of methods against sites: means over seeds, the best of a column, the worst of a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from crisp_core.report.prose import MISSING, number, signed


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

    @property
    def sampled(self) -> bool:
        """Some column says what it rests on."""
        return any(column.sample for column in self.columns)


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


def cell_words(cell: Cell, column: Column) -> tuple[str, str]:
    """Write the mean and, for more than one seed, the standard deviation over seeds."""
    if cell.spread is None:
        return MISSING, ""
    write = signed if column.difference else number
    sd = cell.spread.sd
    deviation = "" if sd is None else f"\N{PLUS-MINUS SIGN} {number(sd, column.decimals)}"
    return write(cell.spread.mean, column.decimals), deviation


def markdown(table: Grid, row_heading: str) -> str:
    """Write a table as Markdown: best of a column bold, worst held-out site of a row marked."""
    heads = [row_heading, *(column.label for column in table.columns)]
    lines = [heads, ["---", *("---:" for _ in table.columns)]]
    for name, cells in table.rows.items():
        pairs = zip(cells, table.columns, strict=True)
        lines.append([name, *(_markdown_cell(cell, column) for cell, column in pairs)])
    if table.sampled:
        lines.append(["cases (patients)", *(column.sample for column in table.columns)])
    return "\n".join("| " + " | ".join(_escape(word) for word in line) + " |" for line in lines)


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


def _markdown_cell(cell: Cell, column: Column) -> str:
    text = " ".join(cell_words(cell, column)).strip()
    text = f"**{text}**" if cell.best else text
    return f"{text} \N{DAGGER}" if cell.worst else text


def _escape(word: str) -> str:
    return word.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
