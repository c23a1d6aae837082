"""Tab-separated tables, as BIDS writes them: `n/a` is nothing."""

from __future__ import annotations

import csv
from pathlib import Path

from crisp_core.errors import DataError


def read_tsv(path: Path) -> list[dict[str, str]]:
    """Read every row as cell by column name.

    Raises:
        DataError: If the table cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", restval="", strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            expected="a readable table with tabs",
            got=type(error).__name__,
            where=path.name,
            fix="Export the table again",
        ) from None
    return [{str(key): _cell(value) for key, value in row.items()} for row in rows]


def _cell(value: object) -> str:
    text = str(value).strip()
    return "" if text == "n/a" else text
