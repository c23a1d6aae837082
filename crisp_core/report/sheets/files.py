"""Every table of a page as files beside it: one folder, one name a table, one suffix a format."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType

from crisp_core.report.sheets.formats import csv_text, json_text, markdown_text
from crisp_core.report.sheets.latex import latex_text
from crisp_core.report.sheets.sheet import Sheet

FOLDER = "tables"
FORMATS = MappingProxyType(
    {"csv": csv_text, "json": json_text, "tex": latex_text, "md": markdown_text}
)


def write_sheets(sheets: Iterable[Sheet], folder: Path) -> tuple[Path, ...]:
    """Write every sheet in every format into `folder`/tables.

    Returns:
        The files, in the order of the sheets.

    Raises:
        ValueError: If two sheets have one name.
    """
    every = list(sheets)
    names = [sheet.name for sheet in every]
    if len(set(names)) != len(names):
        message = f"expected different names, got {names}"
        raise ValueError(message)
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    return tuple(_written(sheet, place, suffix) for sheet in every for suffix in FORMATS)


def _written(sheet: Sheet, place: Path, suffix: str) -> Path:
    path = place / f"{sheet.name}.{suffix}"
    text = FORMATS[suffix](sheet)
    path.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8")
    return path
