"""A table as a value: what stands in it, apart from the format in which it is written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from crisp_core.numerics.statistics import Interval
from crisp_core.report.prose import SMALLEST_P, ends, number, p_words, signed

Part = Literal["sd", "low", "high", "p"]
Kind = Literal["words", "code", "count", "figure", "difference", "p"]
FILE_NAME = re.compile(r"^[a-z0-9]+(-[a-z0-9]+)*$")
DAGGER, DOWN = "\N{DAGGER}", "\N{BLACK DOWN-POINTING TRIANGLE}"


@dataclass(frozen=True)
class Heading:
    """A column: its name for machines, its words for people and how its figures are written."""

    key: str
    label: str
    unit: str = ""
    kind: Kind = "figure"
    decimals: int = 3
    parts: tuple[Part, ...] = ()
    """What a cell holds beside its value: deviation, ends of an interval, p."""
    sample: str = ""
    """What the column rests on, such as cases and, in brackets, patients."""

    @property
    def wordy(self) -> bool:
        """It holds words, not figures."""
        return self.kind in {"words", "code"}


@dataclass(frozen=True)
class Entry:
    """One cell; None is a figure that is not defined, an absent case or a suppressed count."""

    value: str | int | float | None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    best: bool = False
    """The best of its column."""
    worst: bool = False
    """The worst held-out site of its row."""
    fall: bool = False
    """Something that a reader must not overlook."""


@dataclass(frozen=True)
class Sheet:
    """A table: the first column names the row.

    Raises:
        ValueError: If a row has not one entry a column, keys repeat or the name is no file's.
    """

    name: str
    """Stem of its files."""
    title: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[Entry, ...], ...]
    note: str = ""
    """What a reader needs to understand the figures."""
    sample_label: str = "cases (patients)"
    """What the row under the table counts that says what each column rests on."""

    def __post_init__(self) -> None:
        keys = [heading.key for heading in self.headings]
        if not FILE_NAME.match(self.name) or len(set(keys)) != len(keys):
            message = f"expected a lower-case name and different keys, got {self.name!r}, {keys}"
            raise ValueError(message)
        lengths = {len(row) for row in self.rows} - {len(keys)}
        if lengths:
            message = f"{self.name!r} has {len(keys)} columns but rows of {sorted(lengths)}"
            raise ValueError(message)

    @property
    def sampled(self) -> bool:
        """Some column says what it rests on."""
        return any(heading.sample for heading in self.headings)


@dataclass(frozen=True)
class Words:
    """An entry as people read it: the figure, smaller what belongs to it, and its mark."""

    main: str
    small: tuple[str, ...]
    mark: str


def words_of(entry: Entry, heading: Heading) -> Words:
    """Write an entry in the digits of its column.

    Examples:
        >>> words_of(Entry(0.71234, p=0.03), Heading("dice", "Dice"))
        Words(main='0.712', small=('p = 0.030',), mark='')
    """
    main = _figure(entry.value, heading)
    main = f"{DOWN} {main}" if entry.fall and not heading.wordy else main
    small = []
    if entry.sd is not None:
        small.append(f"\N{PLUS-MINUS SIGN} {number(entry.sd, heading.decimals)}")
    if "low" in heading.parts and entry.value is not None:
        small.append(ends(entry.low, entry.high, heading.decimals))
    if entry.p is not None:
        small.append(f"p {p_words(entry.p)}" if entry.p < SMALLEST_P else f"p = {p_words(entry.p)}")
    return Words(main, tuple(small), DAGGER if entry.worst else "")


def words(text: str, *, fall: bool = False) -> Entry:
    """Return an entry of words."""
    return Entry(text, fall=fall)


def interval_entry(interval: Interval | None, *, fall: bool = False) -> Entry:
    """Return a mean with its deviation and its ends."""
    if interval is None:
        return Entry(None, fall=fall)
    return Entry(interval.mean, interval.sd, interval.low, interval.high, fall=fall)


def named(labels: Iterable[str], kind: Kind = "words") -> tuple[Heading, ...]:
    """Return plain columns whose keys are their labels in lower case.

    Examples:
        >>> [heading.key for heading in named(["Training cases", "Role"])]
        ['training_cases', 'role']
    """
    return tuple(Heading(key_of(label), label, kind=kind) for label in labels)


def key_of(label: str) -> str:
    """Turn a label into a key: lower case, words joined by underscores.

    Examples:
        >>> key_of("HD95 (mm), vendor-d")
        'hd95_mm_vendor_d'
    """
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


def _figure(value: str | float | None, heading: Heading) -> str:
    if isinstance(value, str):
        return value
    if heading.wordy:
        return "" if value is None else str(value)
    if value is None:
        return number(None)
    if heading.kind == "p":
        return p_words(value)
    if heading.kind == "count":
        return f"{value:,.0f}"
    return (signed if heading.kind == "difference" else number)(value, heading.decimals)
