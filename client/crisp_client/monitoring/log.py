"""The prediction log: one JSON line a prediction, on the disk before `append` returns.

`predictions.jsonl` grows until it is full and then becomes `predictions.0001.jsonl`, the next one
`predictions.0002.jsonl`, and so on; nothing is ever removed here. A last line without an end (the
writer was killed) does not count, and the next `append` writes over it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import BinaryIO, TypeAlias

from crisp_client.home import SiteHome
from crisp_core.errors import DataError, RunStateError
from crisp_core.schema.prediction import PredictionLine

CURRENT = "predictions.jsonl"
FULL_BYTES = 16_000_000
"""About thirty thousand predictions a file."""
LINE_LIMIT_BYTES = 65_536
"""No line is longer; so much of a file's end is read to find one that was cut short."""
PRIVATE = 0o600
Stamp: TypeAlias = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Reading:
    """A log as it is on the disk, oldest line first.

    Attributes:
        lines: Those that hold.
        damaged: Where others are, such as `predictions.jsonl line 7`.
    """

    lines: tuple[PredictionLine, ...]
    damaged: tuple[str, ...]

    def sound(self) -> tuple[PredictionLine, ...]:
        """Return all lines of a log without damage.

        Raises:
            DataError: If a line is damaged.
        """
        if self.damaged:
            raise DataError(
                expected="a prediction log of whole lines",
                got=f"{len(self.damaged)} that cannot be read",
                where=", ".join(self.damaged[:3]),
                fix="Restore the file from a backup, or move the damaged lines to another file",
            )
        return self.lines


def append(place: SiteHome | Path, line: PredictionLine, *, full_bytes: int = FULL_BYTES) -> None:
    """Add one line; writers of several processes take turns.

    Args:
        place: A site's home, or the folder of the log; made if absent.
        line: What was predicted.
        full_bytes: A file that would grow beyond this is put aside first.

    Raises:
        RunStateError: If the folder cannot be written.
    """
    folder = folder_of(place)
    data = line.text().encode() + b"\n"
    try:
        with _turn(folder), _opened(folder / CURRENT) as file:
            end = _end_of_last_line(file)
            if end and end + len(data) > full_bytes:
                file.truncate(end)
                (folder / CURRENT).replace(_next_name(folder))
                with _opened(folder / CURRENT) as fresh:
                    _put(fresh, 0, data)
            else:
                _put(file, end, data)
            _settle(folder)
    except OSError as error:
        raise _unusable(folder, "written", error) from None


def read(place: SiteHome | Path) -> Reading:
    """Read every file of a log, or a single file that was copied from one.

    Raises:
        DataError: If there is no log at `place`, or it cannot be read.
    """
    path = folder_of(place)
    files = sorted(path.glob("predictions*.jsonl"), key=_age) if path.is_dir() else [path]
    if not files or not files[0].exists():
        raise DataError(
            expected="a prediction log (predictions.jsonl)",
            got="none",
            where=str(path),
            fix="Predict something first with `crisp-client predict`, or name the log's folder",
        )
    lines: list[PredictionLine] = []
    damaged: list[str] = []
    for file in files:
        for number, raw in enumerate(_whole_lines(file), start=1):
            line = _parsed(raw)
            if line is None:
                damaged.append(f"{file.name} line {number}")
            else:
                lines.append(line)
    return Reading(tuple(lines), tuple(damaged))


def stamp_of(place: SiteHome | Path) -> Stamp:
    """Return names, sizes and times of a log's files: equal ones hold the same lines."""
    found = sorted(folder_of(place).glob("predictions*.jsonl"))
    states = [(path.name, path.stat()) for path in found]
    return tuple((name, state.st_size, state.st_mtime_ns) for name, state in states)


def folder_of(place: SiteHome | Path) -> Path:
    """Return the folder in which a site's log lies."""
    return place.predictions if isinstance(place, SiteHome) else place


def _parsed(raw: bytes) -> PredictionLine | None:
    try:
        return PredictionLine.model_validate_json(raw)
    except ValueError:
        return None


def _whole_lines(path: Path) -> list[bytes]:
    try:
        return [line for line in path.read_bytes().splitlines(keepends=True) if line[-1:] == b"\n"]
    except OSError as error:
        raise _unusable(path, "read", error) from None


def _age(path: Path) -> float:
    """Sort full files by their number, the current one last."""
    number = path.name.split(".")[1]
    return int(number) if number.isdecimal() else inf


def _next_name(folder: Path) -> Path:
    last = max((_age(p) for p in folder.glob("predictions.*.jsonl")), default=0)
    return folder / f"predictions.{int(last) + 1:04d}.jsonl"


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Wait for the other writers; the lock outlives a file that is put aside."""
    folder.mkdir(parents=True, exist_ok=True)
    with _opened(folder / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE)
    with os.fdopen(handle, "r+b") as file:
        yield file


def _end_of_last_line(file: BinaryIO) -> int:
    size = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, size - LINE_LIMIT_BYTES))
    return start + file.read().rfind(b"\n") + 1


def _put(file: BinaryIO, start: int, data: bytes) -> None:
    """Put `data` at byte `start` and nothing after it, through to the disk."""
    file.truncate(start)
    file.seek(start)
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _settle(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unusable(path: Path, what: str, error: OSError) -> RunStateError:
    return RunStateError(
        expected=f"a prediction log that can be {what}",
        got=error.strerror or "an error of the disk",
        where=str(path),
        fix="Free space or mend the rights of the folder",
    )
