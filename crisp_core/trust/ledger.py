"""An append-only record whose lines hang together: changing one breaks all that follow.

Each line is a JSON object with its number, an event, its fields, the hash of the line before and
its own hash (SHA-256 of everything else in it). Cutting lines off the end leaves a whole chain:
whoever must notice that keeps `head` somewhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crisp_core.errors import RunStateError

BEGINNING = "0" * 64
"""Stands for the hash of the line before the first."""


@dataclass(frozen=True)
class LedgerEntry:
    """One line; `number` counts from 1."""

    number: int
    event: str
    fields: Mapping[str, Any]
    previous: str
    hash: str


class Ledger:
    """A ledger file; absent means empty. One process writes at a time, any may read.

    A last line without an end (the writer was killed) does not count, and the next `append`
    writes over it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        return len(self._lines())

    @property
    def head(self) -> str:
        """Hash of the last line; 64 zeros for an empty ledger."""
        lines = self._lines()
        return self._entry(lines, len(lines)).hash if lines else BEGINNING

    def entries(self) -> tuple[LedgerEntry, ...]:
        """Return all lines in order.

        Raises:
            RunStateError: If a line is damaged or the chain is broken.
        """
        lines = self._lines()
        broken = _first_broken(lines)
        if broken is not None:
            raise self._damaged(broken)
        return tuple(_parsed(line) for line in lines)

    def append(self, event: str, **fields: Any) -> LedgerEntry:  # noqa: ANN401 - any JSON value
        """Add a line; it is on the disk when this returns.

        The ledger knows no clock: time is a field like any other.

        Raises:
            RunStateError: If the last line is damaged or the file cannot be written.
        """
        lines = self._lines()
        previous = self._entry(lines, len(lines)).hash if lines else BEGINNING
        entry = _sealed(len(lines) + 1, event, fields, previous)
        self._write(sum(map(len, lines)), _line(entry))
        return entry

    def truncate_to(self, length: int) -> None:
        """Drop every line after the first `length`: a resumed run writes those again.

        Raises:
            RunStateError: If there are fewer lines.
        """
        lines = self._lines()
        if len(lines) < length:
            raise RunStateError(
                expected=f"a ledger of at least {length} lines",
                got=f"{len(lines)}",
                where=str(self.path),
                fix="Restore the run folder from a backup",
            )
        if self.path.exists():
            self._write(sum(map(len, lines[:length])), b"")

    def _lines(self) -> list[bytes]:
        """Return the whole lines, each with its end."""
        return [line for line in _raw_lines(self.path) if line.endswith(b"\n")]

    def _entry(self, lines: list[bytes], number: int) -> LedgerEntry:
        try:
            return _parsed(lines[number - 1])
        except (ValueError, TypeError):
            raise self._damaged(number) from None

    def _write(self, start: int, data: bytes) -> None:
        """Put `data` at byte `start` and nothing after it, through to the disk."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
            with os.fdopen(handle, "wb") as file:
                file.truncate(start)
                file.seek(start)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunStateError(
                expected="a ledger that can be written",
                got=error.strerror or "an error of the disk",
                where=str(self.path),
                fix="Free space or mend the rights of the file, then resume",
            ) from None

    def _damaged(self, number: int) -> RunStateError:
        return RunStateError(
            expected="an unbroken ledger",
            got=f"line {number} that does not fit",
            where=str(self.path),
            fix="Restore the ledger from a backup; somebody or something changed it",
        )


def verify(path: Path) -> int | None:
    """Return the number of the first line that is damaged, changed or out of place; else None.

    An unfinished last line counts as damaged. An absent file is an empty ledger.
    """
    return _first_broken(_raw_lines(path))


def _first_broken(lines: list[bytes]) -> int | None:
    previous = BEGINNING
    for number, line in enumerate(lines, start=1):
        try:
            entry = _parsed(line)
        except (ValueError, TypeError):
            return number
        if _line(_sealed(number, entry.event, entry.fields, previous)) != line:
            return number
        previous = entry.hash
    return None


def _sealed(number: int, event: str, fields: Mapping[str, Any], previous: str) -> LedgerEntry:
    open_part = json.dumps([number, event, fields, previous], sort_keys=True)
    return LedgerEntry(
        number, event, fields, previous, hashlib.sha256(open_part.encode()).hexdigest()
    )


def _line(entry: LedgerEntry) -> bytes:
    return json.dumps(vars(entry), sort_keys=True).encode() + b"\n"


def _parsed(line: bytes) -> LedgerEntry:
    return LedgerEntry(**json.loads(line))


def _raw_lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []
