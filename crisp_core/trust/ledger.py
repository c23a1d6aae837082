"""An append-only record whose lines hang together: changing one breaks all that follow.

Each line is a JSON object with its number, an event, its fields, the hash of the line before and
its own hash (SHA-256 of everything else in it). Cutting lines off the end leaves a whole chain:
whoever must notice that keeps `head` somewhere else.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from crisp_core.errors import RunStateError

BEGINNING = "0" * 64
"""Stands for the hash of the line before the first."""
TAIL_BYTES = 4096
"""How much of the end is read to find the last line; four times as much until it is there."""


@dataclass(frozen=True)
class LedgerEntry:
    """One line; `number` counts from 1."""

    number: int
    event: str
    fields: Mapping[str, Any]
    previous: str
    hash: str


_NOTHING = LedgerEntry(0, "", {}, "", BEGINNING)
"""Stands before the first line."""


class Ledger:
    """A ledger file; absent means empty. Any process may append or read: writers take turns.

    A last line without an end (the writer was killed) does not count, and the next `append`
    writes over it. Nothing is remembered between calls and only the last line is read, so the
    thousandth line costs what the first did.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        return self._last().number

    @property
    def head(self) -> str:
        """Hash of the last line; 64 zeros for an empty ledger."""
        return self._last().hash

    def entries(self) -> tuple[LedgerEntry, ...]:
        """Return all lines in order.

        Raises:
            RunStateError: If a line is damaged or the chain is broken.
        """
        entries, broken = sound_entries(self.path)
        if broken is not None:
            raise self._damaged(broken)
        return entries

    def append(self, event: str, **fields: Any) -> LedgerEntry:  # noqa: ANN401 - any JSON value
        """Add a line; it is on the disk when this returns.

        The ledger knows no clock: time is a field like any other.

        Raises:
            RunStateError: If the last line is damaged or the file cannot be written.
        """
        with self._held() as file:
            last, end = self._last_in(file)
            entry = _sealed(last.number + 1, event, fields, last.hash)
            _put(file, end, _line(entry))
        return entry

    def truncate_to(self, length: int) -> None:
        """Drop every line after the first `length`: a resumed run writes those again.

        Raises:
            RunStateError: If there are fewer lines.
        """
        lines = _whole_lines(self.path)
        if len(lines) < length:
            raise RunStateError(
                expected=f"a ledger of at least {length} lines",
                got=f"{len(lines)}",
                where=str(self.path),
                fix="Restore the run folder from a backup",
            )
        if self.path.exists():
            with self._held() as file:
                _put(file, sum(map(len, lines[:length])), b"")

    def _last(self) -> LedgerEntry:
        if not self.path.exists():
            return _NOTHING
        with self.path.open("rb") as file:
            return self._last_in(file)[0]

    def _last_in(self, file: BinaryIO) -> tuple[LedgerEntry, int]:
        """Return the last whole line and the byte where it ends."""
        line, end = _tail(file)
        if not line:
            return _NOTHING, end
        entry = _sound(line)
        if entry is None:
            raise self._damaged(len(_whole_lines(self.path)))
        return entry, end

    @contextmanager
    def _held(self) -> Iterator[BinaryIO]:
        """Open the file for one writer at a time."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            with os.fdopen(handle, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
        except OSError as error:
            raise _unusable(self.path, "written", error) from None

    def _damaged(self, number: int) -> RunStateError:
        return RunStateError(
            expected="an unbroken ledger",
            got=f"line {number} that does not fit",
            where=str(self.path),
            fix="Restore the ledger from a backup; somebody or something changed it",
        )


def _unusable(path: Path, what: str, error: OSError) -> RunStateError:
    return RunStateError(
        expected=f"a ledger that can be {what}",
        got=error.strerror or "an error of the disk",
        where=str(path),
        fix="Free space or mend the rights of the file, then resume",
    )


def verify(path: Path) -> int | None:
    """Return the number of the first line that is damaged, changed or out of place; else None.

    An unfinished last line counts as damaged. An absent file is an empty ledger.
    """
    return _chain(_raw_lines(path))[1]


def sound_entries(path: Path) -> tuple[tuple[LedgerEntry, ...], int | None]:
    """Return the lines before the first broken one, and that one's number (None: none is).

    An unfinished last line does not count.
    """
    return _chain(_whole_lines(path))


def _chain(lines: list[bytes]) -> tuple[tuple[LedgerEntry, ...], int | None]:
    entries: list[LedgerEntry] = []
    previous = BEGINNING
    for number, line in enumerate(lines, start=1):
        entry = _sound(line)
        if entry is None or (entry.number, entry.previous) != (number, previous):
            return tuple(entries), number
        entries.append(entry)
        previous = entry.hash
    return tuple(entries), None


def _sound(line: bytes) -> LedgerEntry | None:
    """Return the entry of a line that is written and sealed as `append` does it, else None."""
    try:
        entry = LedgerEntry(**json.loads(line))
        sealed = _sealed(entry.number, entry.event, entry.fields, entry.previous)
        same = _line(sealed) == line
    except (ValueError, TypeError, RecursionError):
        return None
    kinds = tuple(map(type, vars(entry).values()))
    return entry if same and kinds == (int, str, dict, str, str) else None


def _sealed(number: int, event: str, fields: Mapping[str, Any], previous: str) -> LedgerEntry:
    open_part = json.dumps([number, event, fields, previous], sort_keys=True)
    return LedgerEntry(
        number, event, fields, previous, hashlib.sha256(open_part.encode()).hexdigest()
    )


def _line(entry: LedgerEntry) -> bytes:
    return json.dumps(vars(entry), sort_keys=True).encode() + b"\n"


def _raw_lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines(keepends=True) if path.exists() else []
    except OSError as error:
        raise _unusable(path, "read", error) from None


def _whole_lines(path: Path) -> list[bytes]:
    """Return the lines that have an end, with it."""
    return [line for line in _raw_lines(path) if line.endswith(b"\n")]


def _tail(file: BinaryIO) -> tuple[bytes, int]:
    """Return the last line that has an end (none: no bytes) and the byte where it ends."""
    size, length = file.seek(0, os.SEEK_END), TAIL_BYTES
    while True:
        start = file.seek(max(0, size - length))
        tail = file.read(size - start)
        end = tail.rfind(b"\n") + 1
        begin = tail.rfind(b"\n", 0, max(0, end - 1)) + 1
        if begin or not start:
            return tail[begin:end], start + end
        length *= 4


def _put(file: BinaryIO, start: int, data: bytes) -> None:
    """Put `data` at byte `start` and nothing after it, through to the disk."""
    file.truncate(start)
    file.seek(start)
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
