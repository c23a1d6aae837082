"""The table of a site's cases: whose they are, and what else the site says about them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from crisp_core.errors import DataError
from crisp_core.files.rows import read_rows, row_error

REQUIRED = ("case", "patient")
SPLITS = ("train", "validation", "test")
AXES = 3
FIX = "Mend the table; its columns are case,patient[,group,split,phase,vendor,spacing_mm]"


@dataclass(frozen=True)
class CaseRow:
    """One row; `split` and `spacing_mm` (D, H, W) are None where the cell is empty."""

    case_id: str
    patient_id: str
    group: str = ""
    phase: str = ""
    vendor: str = ""
    split: str | None = None
    spacing_mm: tuple[float, float, float] | None = None


def read_case_table(path: Path) -> dict[str, CaseRow]:
    """Read `cases.csv`: UTF-8, comma separated, a header, one row a case.

    Raises:
        DataError: If it is unreadable, lacks a column, or a row cannot be used.
    """
    _, lines = read_rows(path, REQUIRED, FIX)
    rows: dict[str, CaseRow] = {}
    for number, line in lines:
        row = _row(line, number, path)
        if row.case_id in rows:
            raise _error((path, number), "one row a case", f"a second for {row.case_id!r}")
        rows[row.case_id] = row
    return rows


def _row(cells: dict[str, str], number: int, path: Path) -> CaseRow:
    for name in REQUIRED:
        if not cells[name]:
            raise _error((path, number), f"a value for {name!r}", "an empty cell")
    split = cells.get("split") or None
    if split is not None and split not in SPLITS:
        raise _error((path, number), f"split {', '.join(SPLITS)} or nothing", repr(split))
    return CaseRow(
        case_id=cells["case"],
        patient_id=cells["patient"],
        group=cells.get("group", ""),
        phase=cells.get("phase", ""),
        vendor=cells.get("vendor", ""),
        split=split,
        spacing_mm=_spacing(cells.get("spacing_mm", ""), number, path),
    )


def _spacing(cell: str, number: int, path: Path) -> tuple[float, float, float] | None:
    """Read "8 1.4 1.4": millimetres between slices, rows and columns."""
    if not cell:
        return None
    try:
        values = [float(part) for part in re.split(r"[\sx;]+", cell)]
    except ValueError:
        values = []
    if len(values) != AXES or not all(isfinite(mm) and mm > 0 for mm in values):
        wanted = "spacing_mm as slice, row and column, such as '8 1.4 1.4'"
        raise _error((path, number), wanted, repr(cell))
    return values[0], values[1], values[2]


def _error(place: tuple[Path, int | None], expected: str, got: str) -> DataError:
    path, line = place
    return row_error(path, line, expected, got, FIX)
