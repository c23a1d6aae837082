from __future__ import annotations

import json
import os
import time
from pathlib import Path

from crisp_core.processes.logs import LINE_LIMIT, LineLog, Reader, plain


def read_through(data: bytes) -> list[str]:
    out, into = os.pipe()
    seen: list[str] = []
    reader = Reader(out, seen.append)
    os.write(into, data)
    os.close(into)
    reader.close()
    return seen


def test_colours_cursor_moves_and_overwritten_progress_leave_the_words() -> None:
    assert plain("\x1b[31m\x1b[1mERROR\x1b[0m: 10 %\r\x1b[2K20 %\n") == "20 %"
    assert plain("\x1b]8;;https://x\x07link\x1b]8;;\x07\x00") == "link"


def test_a_line_split_between_two_writes_is_one_line() -> None:
    assert read_through(b"one\nt\xc3\xa9\n\nlast without end") == ["one", "té", "last without end"]


def test_bytes_that_are_no_text_and_lines_without_end_stop_nothing() -> None:
    *_, last = read_through(b"\xff\xfe\n" + b"x" * 60_000)

    assert last == "x" * LINE_LIMIT


def test_closing_does_not_wait_for_whoever_still_holds_the_pipe() -> None:
    out, into = os.pipe()
    seen: list[str] = []
    reader = Reader(out, seen.append)
    os.write(into, b"said\n")

    before = time.monotonic()
    reader.close()

    assert seen == ["said"]
    assert time.monotonic() - before < 3
    os.close(into)


def test_a_full_file_makes_room_and_the_oldest_is_forgotten(tmp_path: Path) -> None:
    log = LineLog(tmp_path / "logs" / "child.jsonl", size_bytes=200, file_count=3)

    for number in range(20):
        log.write("child", f"line {number}")

    files = sorted(path.name for path in log.path.parent.iterdir())
    assert files == ["child.jsonl", "child.jsonl.1", "child.jsonl.2"]
    assert all(path.stat().st_size <= 200 for path in log.path.parent.iterdir())
    last = json.loads(log.path.read_text().splitlines()[-1])
    assert (last["name"], last["line"]) == ("child", "line 19")
    assert last["time"].endswith("+00:00")


def test_a_log_that_cannot_be_written_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")

    LineLog(tmp_path / "logs" / "child.jsonl").write("child", "lost")
