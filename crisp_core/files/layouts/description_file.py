"""The `dataset.json` of a data set, read with a sentence for what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from crisp_core.errors import DataError

NAME = "dataset.json"
FIX = "Use the file as it was published"


def read_description(folder: Path) -> dict[str, Any]:
    """Read `dataset.json`.

    Raises:
        DataError: If it is absent or no JSON object.
    """
    try:
        value = json.loads((folder / NAME).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        got = f"{type(error).__name__}"
        raise DataError(
            expected=f"a readable {NAME}", got=got, where=str(folder), fix=FIX
        ) from None
    if not isinstance(value, dict):
        raise wrong(expected="an object", got=type(value).__name__)
    return value


def described(folder: Path) -> dict[str, Any]:
    """Read `dataset.json`, or say nothing where there is none to read."""
    try:
        return read_description(folder)
    except DataError:
        return {}


def table_of(description: dict[str, Any], key: str) -> dict[str, Any]:
    """Return one of its tables.

    Raises:
        DataError: If it is absent or no table.
    """
    value = description.get(key)
    if not isinstance(value, dict):
        raise wrong(
            expected=f"a table {key!r}", got="none" if value is None else type(value).__name__
        )
    return value


def wrong(*, expected: str, got: str) -> DataError:
    """Say what is wrong with the file."""
    return DataError(expected=expected, got=got, where=NAME, fix=FIX)
