"""Tables as people save them: UTF-8 with or without its mark, a header, one row a line."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from crisp_core.errors import DataError

Row = tuple[int, dict[str, str]]
"""Line of the file, and cell by column name; no cell has spaces around it."""


def read_rows(path: Path, required: Sequence[str], fix: str) -> tuple[list[str], list[Row]]:
    """Read a comma-separated table.

    Args:
        path: The file.
        required: Columns that it must have.
        fix: What to do about a table that is not like that.

    Returns:
        The names of the columns, and the rows.

    Raises:
        DataError: If it is unreadable, lacks a column, or a row has more cells than columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, strict=True, restval="")
            header = [name.strip() for name in table.fieldnames or ()]
            table.fieldnames = header
            lines = [(table.line_num, line) for line in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        got = f"an unreadable one ({error})"
        raise row_error(path, None, "a table in UTF-8 with commas", got, fix) from None
    for name in required:
        if name not in header:
            got = f"columns {', '.join(header) or 'none'}"
            raise row_error(path, None, f"a column {name!r}", got, fix)
    for number, line in lines:
        if None in line:
            raise row_error(path, number, "as many cells as columns", "more", fix)
    return header, [(n, {name: cell.strip() for name, cell in row.items()}) for n, row in lines]


def row_error(path: Path, line: int | None, expected: str, got: str, fix: str) -> DataError:
    """Say what is wrong with a table or one line of it."""
    where = f"line {line} of {path.name}" if line else path.name
    return DataError(expected=expected, got=got, where=where, fix=fix)
