"""The table of M&Ms patients, in the dialects of its releases; no image is touched.

201014   External code, VendorName, Vendor, Centre, ED, ES
211230   (unnamed index), External code, Pathology, VendorName, Vendor, Centre, ED, ES, Age, …
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crisp_core.errors import DataError
from crisp_core.files.rows import read_rows, row_error

REQUIRED = ("External code", "Vendor", "Centre", "ED", "ES")
PATIENTS = {"A": 95, "B": 125, "C": 75, "D": 50}
"""In the public data set: vendors Siemens, Philips, General Electric and Canon."""
FIX = "Use the table as it was published"


@dataclass(frozen=True)
class Patient:
    """One row: who, by which scanner, and the frames of ED and ES from 0, if it says them."""

    code: str
    vendor: str
    centre: str
    frames: tuple[int, int] | None
    pathology: str = ""


def find_table(folder: Path) -> Path | None:
    """Return the newest table: releases begin with their date."""
    if not folder.is_dir():
        return None
    tables = [p for p in sorted(folder.glob("*nformation*.csv")) if not p.name.startswith(".")]
    return next((path for path in reversed(tables) if _is_one(path)), None)


def read_patients(table: Path) -> dict[str, Patient]:
    """Read every patient by code.

    Raises:
        DataError: If the table is unreadable, or a row is double or has frames that are no numbers.
    """
    patients: dict[str, Patient] = {}
    for line, cells in read_rows(table, REQUIRED, FIX)[1]:
        code = cells["External code"]
        if code in patients:
            raise row_error(table, line, "one row a patient", f"a second for {code!r}", FIX)
        patients[code] = Patient(
            code=code,
            vendor=cells["Vendor"],
            centre=_number_text(cells["Centre"]),
            frames=_frames(cells["ED"], cells["ES"], table, line),
            pathology=cells.get("Pathology", ""),
        )
    return patients


def _is_one(path: Path) -> bool:
    try:
        return "External code" in read_rows(path, (), FIX)[0]
    except DataError:
        return False


def _frames(diastole: str, systole: str, table: Path, line: int) -> tuple[int, int] | None:
    if not diastole or not systole:
        return None
    try:
        first, second = (int(float(cell)) for cell in (diastole, systole))
    except ValueError:
        got = f"{diastole!r} and {systole!r}"
        raise row_error(table, line, "ED and ES as numbers of frames", got, FIX) from None
    return first, second


def _number_text(cell: str) -> str:
    """Write 2.0, as some programs save a 2, as 2."""
    return cell.removesuffix(".0")
