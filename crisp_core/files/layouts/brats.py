"""BraTS and FeTS: brain tumours in four MRI sequences, a folder a subject.

    BraTS2021_00000/  BraTS2021_00000_t1.nii.gz  _t1ce  _t2  _flair  _seg          enhancing is 4
    BraTS-GLI-00000-000/  BraTS-GLI-00000-000-t1n.nii.gz  -t1c  -t2w  -t2f  -seg   enhancing is 3
    FeTS2022_00000/ …     partitioning_1.csv (23 institutions), partitioning_2.csv (33)

In FeTS each institution is a site. The table of a task may add `TrainOrVal`.

Source:
    Baid et al., "The RSNA-ASNR-MICCAI BraTS 2021 Benchmark", arXiv:2107.02314; Pati et al., "The
    Federated Tumor Segmentation (FeTS) Challenge", arXiv:2105.05874.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from crisp_core.errors import DataError
from crisp_core.files.cohort import Case, Flaw
from crisp_core.files.layouts.layout import (
    DataSet,
    Layout,
    collected,
    fault,
    flaw,
    folders,
    volumes,
)
from crisp_core.files.meanings import Meanings
from crisp_core.files.rows import read_rows

OLDER = ("t1", "t1ce", "t2", "flair")
NEWER = ("t1n", "t1c", "t2w", "t2f")
CHANNELS = ("T1", "T1c", "T2", "FLAIR")
ENHANCING_OLDER, ENHANCING_NEWER = 4, 3
TIME_POINT = re.compile(r"(?P<patient>BraTS-.+)-\d{3}")
TABLE_FIX = "Use the table as it was published: Partition_ID,Subject_ID"
SPLITS = {"train": "train", "val": "validation", "": None}


def meanings(enhancing: int) -> Meanings:
    """Name the three parts of a tumour and the regions WT and TC that they make up."""
    return {1: ("NCR", "TC", "WT"), 2: ("ED", "WT"), enhancing: ("ET", "TC", "WT")}


def read_brats(folder: Path) -> DataSet:
    """List every subject that has a mask.

    Args:
        folder: What holds the folders of the subjects.
    """
    subjects = list(_subjects(folder))
    newer = [subject for subject in subjects if f"{subject.name}-t1n" in volumes(subject)]
    known = meanings(ENHANCING_NEWER if newer else ENHANCING_OLDER)
    cases, flaws = collected((s.name, partial(_case, s, newer=s in newer)) for s in subjects)
    if newer and len(newer) < len(subjects):
        fix = "Keep them in two folders: they number the enhancing tumour 4 and 3"
        flaws = (*flaws, flaw(None, "one release of BraTS", "two", fix))
    remarks = (f"{len(subjects)} subjects; enhancing tumour is label {max(known)}",)
    return DataSet("brats", cases, known, flaws, remarks, CHANNELS)


def read_fets(folder: Path, table: str = "partitioning_1.csv") -> DataSet:
    """List every subject with its institution as its site.

    Raises:
        DataError: If the table is absent or cannot be read.
    """
    path = folder / table
    if not path.is_file():
        fix = "Copy it from the release beside the folders of the subjects"
        raise DataError(expected=f"a table {table}", got="none", where=str(folder), fix=fix)
    rows = {
        r["Subject_ID"]: r for _, r in read_rows(path, ("Partition_ID", "Subject_ID"), TABLE_FIX)[1]
    }
    plain = read_brats(folder)
    cases = tuple(_placed(case, rows) for case in plain.cases if case.case_id in rows)
    strangers = tuple(_strangers(plain.cases, rows))
    absent = len(set(rows) - {case.case_id for case in plain.cases})
    sites = len({case.site for case in cases})
    said = [f"{sites} institutions as {table} says"]
    said += [f"{absent} subjects of the table have no folder here"] if absent else []
    return replace(
        plain,
        layout="fets",
        cases=cases,
        flaws=(*plain.flaws, *strangers),
        remarks=(*plain.remarks, *said),
    )


def _subjects(folder: Path) -> Iterator[Path]:
    """Find the folders whose name begins the names of their files, one or two levels down."""
    for place in folders(folder):
        if any(name.startswith((f"{place.name}_", f"{place.name}-")) for name in volumes(place)):
            yield place
        else:
            yield from (
                inner
                for inner in folders(place)
                if any(
                    name.startswith((f"{inner.name}_t1", f"{inner.name}-t1"))
                    for name in volumes(inner)
                )
            )


def _case(place: Path, *, newer: bool) -> Iterator[Case]:
    joint, suffixes = ("-", NEWER) if newer else ("_", OLDER)
    files = volumes(place)
    for suffix in (*suffixes, "seg"):
        if f"{place.name}{joint}{suffix}" not in files:
            fix = "Copy the subject's folder again, or take it out"
            raise fault(place.name, f"a file {place.name}{joint}{suffix}.nii.gz", "none", fix)
    match = TIME_POINT.fullmatch(place.name)
    yield Case(
        case_id=place.name,
        patient_id=match["patient"] if match else place.name,
        images=tuple(files[f"{place.name}{joint}{suffix}"] for suffix in suffixes),
        label=files[f"{place.name}{joint}seg"],
        site="BraTS",
    )


def _placed(case: Case, rows: Mapping[str, Mapping[str, str]]) -> Case:
    row = rows[case.case_id]
    split = SPLITS.get(row.get("TrainOrVal", "").lower())
    return replace(case, site=f"institution-{row['Partition_ID']}", split=split)


def _strangers(cases: tuple[Case, ...], rows: Mapping[str, object]) -> Iterator[Flaw]:
    for case in cases:
        if case.case_id not in rows:
            fix = "Take the folder out, or use the table of the same release"
            yield flaw(case.case_id, "a row in the partitioning table", "none", fix)


def _matches(folder: Path) -> bool:
    names = ((place.name, volumes(place)) for place in _subjects(folder))
    return any(f"{name}_t1ce" in files or f"{name}-t1c" in files for name, files in names)


BRATS = Layout(
    "brats",
    "folders SUBJECT with SUBJECT_t1ce.nii.gz or SUBJECT-t1c.nii.gz",
    lambda folder: _matches(folder) and not (folder / "partitioning_1.csv").is_file(),
    read_brats,
)
FETS = Layout(
    "fets",
    "partitioning_1.csv beside such folders as those of brats",
    lambda folder: (folder / "partitioning_1.csv").is_file() and _matches(folder),
    read_fets,
)
FETS_2 = Layout(
    "fets-2",
    "partitioning_2.csv beside such folders as those of brats",
    lambda _folder: False,
    partial(read_fets, table="partitioning_2.csv"),
)
