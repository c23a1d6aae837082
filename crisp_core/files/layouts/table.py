"""Any data set by a table of its files, which may lie anywhere below it.

    <any>.csv: image,label,patient,site[,vendor,group,phase,frame,split]
    labels.csv: number,name                                             (optional)

Paths are relative to the table. Several images of a row, separated by `|`, are its channels.
`frame` counts from 0 along the fourth axis. Without `labels.csv` the numbers are the study's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from crisp_core.errors import DataError
from crisp_core.files.case_table import SPLITS
from crisp_core.files.cohort import Case, divided
from crisp_core.files.layouts.layout import DataSet, Layout, collected, stem
from crisp_core.files.meanings import Meanings, as_name
from crisp_core.files.rows import Row, read_rows, row_error

REQUIRED = ("image", "label", "patient", "site")
FIX = "Mend the table; its columns are image,label,patient,site[,vendor,group,phase,frame,split]"
LABELS = "labels.csv"
LABELS_FIX = "Mend the table; its columns are number,name"


def read_table(folder: Path) -> DataSet:
    """List the rows of the table.

    Args:
        folder: What holds the table, or the table.

    Raises:
        DataError: If there is no table, or it cannot be read.
    """
    path = _table(folder)
    if path is None:
        got, fix = "none", "Put one there, or name the table itself"
        raise DataError(
            expected=f"one table {', '.join(REQUIRED)}", got=got, where=str(folder), fix=fix
        )
    rows = read_rows(path, REQUIRED, FIX)[1]
    names = _names(rows)
    cases, flaws = collected(
        (name, partial(_case, path, row, name)) for row, name in zip(rows, names, strict=True)
    )
    flaws = (*flaws, *divided(cases))
    return DataSet(
        "csv", cases, _meanings(path.parent / LABELS), flaws, (f"Cases as {path.name} says",)
    )


def _table(folder: Path) -> Path | None:
    if folder.is_file():
        return folder
    tables = [path for path in sorted(folder.glob("*.csv")) if _is_one(path)]
    return tables[0] if len(tables) == 1 else None


def _is_one(path: Path) -> bool:
    try:
        return set(REQUIRED) <= set(read_rows(path, (), FIX)[0])
    except DataError:
        return False


def _names(rows: Sequence[Row]) -> list[str]:
    """Name each case by its first image and its frame; doubles get their site in front."""
    plain = [_plain_name(cells) for _, cells in rows]
    counts = Counter(plain)
    return [
        f"{as_name(cells['site'])}-{name}" if counts[name] > 1 else name
        for name, (_, cells) in zip(plain, rows, strict=True)
    ]


def _plain_name(cells: dict[str, str]) -> str:
    first = Path(cells["image"].split("|")[0].strip())
    name = as_name(stem(first) or first.name)
    return f"{name}_t{cells['frame']}" if cells.get("frame") else name


def _case(path: Path, row: Row, name: str) -> Iterator[Case]:
    line, cells = row
    for column in REQUIRED:
        if not cells[column]:
            raise row_error(path, line, f"a value for {column!r}", "an empty cell", FIX)
    frame, split = cells.get("frame", ""), cells.get("split", "")
    if frame and not frame.isdecimal():
        raise row_error(path, line, "a frame from 0 on", repr(frame), FIX)
    if split not in ("", *SPLITS):
        raise row_error(path, line, f"split {', '.join(SPLITS)} or nothing", repr(split), FIX)
    images = tuple(path.parent / part.strip() for part in cells["image"].split("|"))
    label = path.parent / cells["label"]
    for file in (*images, label):
        if stem(file) is None or not file.is_file():
            raise row_error(path, line, "files that are there, NIfTI", repr(file.name), FIX)
    yield Case(
        case_id=name,
        patient_id=cells["patient"],
        images=images,
        label=label,
        group=cells.get("group", ""),
        phase=cells.get("phase", ""),
        split=split or None,
        frame=int(frame) if frame else None,
        site=cells["site"],
        vendor=cells.get("vendor", ""),
    )


def _meanings(path: Path) -> Meanings | None:
    """Read what the labels mean, if the data set says so."""
    if not path.is_file():
        return None
    found: dict[int, tuple[str, ...]] = {}
    for line, cells in read_rows(path, ("number", "name"), LABELS_FIX)[1]:
        if not cells["number"].isdecimal() or not cells["name"]:
            raise row_error(path, line, "a number and a name", "another thing", LABELS_FIX)
        if int(cells["number"]) > 0:
            number = int(cells["number"])
            found[number] = (*found.get(number, ()), as_name(cells["name"]))
    return found


LAYOUT = Layout(
    "csv",
    f"one table with the columns {', '.join(REQUIRED)}",
    lambda folder: (_table(folder) is not None) if folder.is_dir() else _is_one(folder),
    read_table,
)
