"""A child's output as JSON lines: read as fast as it comes, cut by size, free of colours."""

from __future__ import annotations

import json
import os
import re
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

LINE_LIMIT = 8192
"""Characters of a line that are kept."""
FILE_SIZE_BYTES = 5_000_000
FILE_COUNT = 5
_CHUNK_BYTES = 65536
_PIPE_CHUNKS = 16  # a pipe holds at most 1 MiB
_LOOK_UP_S = 0.5
_COLOURS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class LineLog:
    """A file of JSON lines {time, name, line}; when it is full it becomes `.1`, `.1` becomes `.2`.

    A disk that cannot be written loses lines and nothing else: a log never stops the work.
    """

    def __init__(
        self, path: Path, *, size_bytes: int = FILE_SIZE_BYTES, file_count: int = FILE_COUNT
    ) -> None:
        self.path, self._size_bytes, self._file_count = path, size_bytes, file_count
        self._lock = threading.Lock()

    def write(self, name: str, line: str) -> None:
        """Add one line said by `name`, with the time of now in UTC."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        text = json.dumps({"time": now, "name": name, "line": line}, ensure_ascii=False) + "\n"
        with self._lock, suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and self.path.stat().st_size + len(text) > self._size_bytes:
                self._turn()
            with self.path.open("a", encoding="utf-8", errors="replace") as file:
                file.write(text)

    def _turn(self) -> None:
        for number in range(self._file_count - 1, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path


class Reader:
    """Reads a pipe to its end in a thread and hands on each line.

    The end of the pipe is not the end of the process: whoever inherited it can hold it for
    minutes. `close` stops reading whoever holds it.
    """

    def __init__(self, pipe: int, take: Callable[[str], None]) -> None:
        self._pipe, self._take = pipe, take
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read, name="log-reader", daemon=True)
        self._thread.start()

    def is_reading(self) -> bool:
        """Say whether somebody still holds the other end."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Hand on what has arrived, let go of the pipe and return when the thread has ended."""
        self._closing.set()
        self._thread.join()

    def _read(self) -> None:
        rest = b""
        for chunk in self._chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            self._hand_on(lines)
            rest = rest[-_CHUNK_BYTES:]
        self._hand_on([rest])

    def _chunks(self) -> Iterator[bytes]:
        """Yield what is written until the end of the pipe, or, when closing, what is in it now."""
        with os.fdopen(self._pipe, "rb", buffering=0) as pipe:
            left = _PIPE_CHUNKS
            while left:
                left -= self._closing.is_set()
                if select.select([pipe], [], [], _LOOK_UP_S)[0]:
                    if not (chunk := os.read(self._pipe, _CHUNK_BYTES)):
                        return
                    yield chunk
                elif self._closing.is_set():
                    return

    def _hand_on(self, lines: list[bytes]) -> None:
        for line in lines:
            text = plain(line.decode("utf-8", errors="replace"))
            if text:
                self._take(text)


def plain(line: str) -> str:
    r"""Return a terminal's line without colours, cursor moves and what was overwritten.

    Examples:
        >>> plain("\x1b[92mINFO \x1b[0m:   ready\r\n")
        'INFO :   ready'
    """
    shown = _COLOURS.sub("", line).rstrip("\r\n").rpartition("\r")[2]
    return _UNPRINTABLE.sub("", shown).rstrip()[:LINE_LIMIT]
