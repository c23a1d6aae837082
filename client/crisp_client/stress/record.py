"""Answers on disk, one line each: whatever stops a test, what was measured stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from crisp_core.errors import RunStateError
from crisp_core.files.atomic import write_text
from crisp_core.schema.stress import StressAnswer, StressPlan

ANSWERS = "answers.jsonl"
PLAN = "plan.json"


def begin(folder: Path, plan: StressPlan) -> tuple[StressAnswer, ...]:
    """Start a test in a folder, or continue the same one.

    Returns:
        The answers that are there.

    Raises:
        RunStateError: If the folder holds another test, or cannot be written.
    """
    path = folder / PLAN
    if not path.exists():
        write_text(path, plan.model_dump_json(indent=1))
        write_text(folder / ANSWERS, "")
        return ()
    if _plan(path) != plan:
        raise RunStateError(
            expected="the same models, cases, corruptions, severities and seed as before",
            got="others",
            where=str(path),
            fix="Give another folder with --out, or remove this one",
        )
    known = _answers(folder / ANSWERS)
    text = "".join(f"{one.model_dump_json()}\n" for one in known)
    write_text(folder / ANSWERS, text)  # without a line that was cut off
    return known


@contextmanager
def appending(folder: Path) -> Iterator[TextIO]:
    """Open the answers at their end; every line is handed to the system at once.

    Raises:
        RunStateError: If the file cannot be written.
    """
    try:
        with (folder / ANSWERS).open("a", encoding="utf-8", buffering=1) as file:
            yield file
    except OSError as error:
        raise RunStateError(
            expected="a folder that can be written",
            got=error.strerror or "an error of the disk",
            where=str(folder),
            fix="Free space, then give the same command again",
        ) from None


def _plan(path: Path) -> StressPlan | None:
    try:
        return StressPlan.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _answers(path: Path) -> tuple[StressAnswer, ...]:
    """Read the lines that are whole."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    found = []
    for line in lines:
        try:
            found.append(StressAnswer.model_validate_json(line))
        except ValueError:
            break
    return tuple(found)
