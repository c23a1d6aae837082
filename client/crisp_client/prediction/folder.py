"""One folder a case, there whole or not at all; nothing in it is ever written over."""

from __future__ import annotations

import hashlib
from pathlib import Path

from crisp_core.errors import RunStateError
from crisp_core.files.atomic import write_text
from crisp_core.schema.answer import AnswerRecord

RECORD = "prediction.json"


def is_answered(place: Path, request: AnswerRecord) -> bool:
    """Tell whether `place` holds the answer to this very request; its files are checked.

    Raises:
        RunStateError: If something else is there, or a file of it was changed.
    """
    if not place.exists():
        return False
    kept = read_record(place)
    if not kept.same_request(request):
        raise _taken(place, "the answer to another image, model or options")
    for name, digest in kept.files.items():
        file = place / name
        if not file.is_file() or _digest(file) != digest:
            raise _taken(place, f"an answer whose {name} was changed since")
    return True


def read_record(place: Path) -> AnswerRecord:
    """Read `prediction.json` of a case's folder.

    Raises:
        RunStateError: If there is none that can be read.
    """
    try:
        return AnswerRecord.model_validate_json((place / RECORD).read_bytes())
    except (OSError, ValueError):
        raise _taken(place, f"something without a readable {RECORD}") from None


def write_record(folder: Path, record: AnswerRecord) -> AnswerRecord:
    """Write `prediction.json` with the hash of every file that is there already."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = {str(path.relative_to(folder)): _digest(path) for path in files}
    whole = record.model_copy(update={"files": hashes})
    write_text(folder / RECORD, whole.model_dump_json(indent=1))
    return whole


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _taken(place: Path, got: str) -> RunStateError:
    return RunStateError(
        expected="a place where nothing is yet, or the same answer",
        got=got,
        where=str(place),
        fix="Nothing is overwritten: move it away, or name another folder with -o",
    )
