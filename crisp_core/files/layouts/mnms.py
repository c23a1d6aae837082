"""M&Ms: multi-vendor cine MRI of the heart, 4-D files labelled in two frames each.

    OpenDataset/  <any>nformation<any>.csv
                  Training/Labeled/<code>/<code>_sa.nii.gz, <code>_sa_gt.nii.gz
                  Training/Unlabeled/<code>/…   Validation/<code>/…   Testing/<code>/…

ED and ES count from 0. The 25 patients of `Unlabeled` ship `_gt` files that are not masks.

Source:
    Campello et al., "Multi-Centre, Multi-Vendor and Multi-Disease Cardiac Segmentation: The M&Ms
    Challenge", IEEE TMI 40(12), 2021.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
from crisp_core.files.layouts.mnms_table import PATIENTS, Patient, find_table, read_patients
from crisp_core.files.meanings import plain

MEANINGS = plain("LV", "MYO", "RV")
UNLABELED = "unlabeled"
PARTS = {
    "training": "training",
    "train": "training",
    "validation": "validation",
    "val": "validation",
    "testing": "testing",
    "test": "testing",
}


@dataclass(frozen=True)
class _Found:
    """A patient's folder and which part of the data set it is in."""

    folder: Path
    part: str


def read_mnms(folder: Path, *, include_unlabeled: bool = False) -> DataSet:
    """List ED and ES of every patient who has masks.

    Args:
        folder: `OpenDataset`.
        include_unlabeled: Also those of `Training/Unlabeled`; a mask of theirs that is all zero
            is refused when it is opened.

    Raises:
        DataError: If the table is absent or cannot be read.
    """
    table = find_table(folder)
    if table is None:
        raise DataError(
            expected="the table of patients, *nformation*.csv with a column 'External code'",
            got="none",
            where=str(folder),
            fix="Copy it from the release beside Training/, Validation/ and Testing/",
        )
    patients, places = read_patients(table), _places(folder)
    found = {code: place for code, place in places.items() if code in patients}
    taken = {c: p for c, p in found.items() if include_unlabeled or p.part != UNLABELED}
    cases, flaws = collected(
        (code, partial(_of_patient, patients[code], place)) for code, place in taken.items()
    )
    flaws = (*_strangers(places, patients), *_totals(patients), *flaws)
    remarks = (f"Patients as {table.name} says", *_remarks(patients, found, taken))
    return DataSet("mnms", cases, MEANINGS, flaws, remarks, ("cine",))


def _places(folder: Path) -> dict[str, _Found]:
    """Map each code to its folder; the names of the parts may be in any case."""
    found = {}
    for part in folders(folder):
        name = PARTS.get(part.name.lower())
        for inner in folders(part) if name else ():
            kind = inner.name.lower()
            if kind in ("labeled", UNLABELED):
                own = UNLABELED if kind == UNLABELED else str(name)
                found.update({place.name: _Found(place, own) for place in folders(inner)})
            else:
                found[inner.name] = _Found(inner, str(name))
    return found


def _of_patient(patient: Patient, place: _Found) -> Iterator[Case]:
    image, label = f"{patient.code}_sa", f"{patient.code}_sa_gt"
    files = volumes(place.folder)
    for name in (image, label):
        if name not in files:
            fix = "Copy the patient's folder again"
            raise fault(patient.code, f"a file {name}.nii.gz", "none", fix)
    if patient.frames is None or patient.frames[0] == patient.frames[1]:
        got = "none" if patient.frames is None else f"{patient.frames[0]} for both"
        fix = "Leave the patient out, or correct ED and ES in the table"
        raise fault(patient.code, "two frames, ED and ES", got, fix)
    for phase, frame in zip(("ED", "ES"), patient.frames, strict=True):
        yield Case(
            case_id=f"{patient.code}_{phase}",
            patient_id=patient.code,
            images=(files[image],),
            label=files[label],
            group=patient.pathology,
            phase=phase,
            frame=frame,
            site=f"{patient.vendor}{patient.centre}",
            vendor=patient.vendor,
            part=place.part,
            never_empty=True,
        )


def _strangers(places: Mapping[str, _Found], patients: Mapping[str, Patient]) -> Iterator[Flaw]:
    for code in sorted(set(places) - set(patients)):
        fix = "Take the folder out, or use the table of the same release"
        yield flaw(code, "a row in the table", "none", fix)


def _totals(patients: Mapping[str, Patient]) -> Iterator[Flaw]:
    """Insist on the published numbers where the table is the whole one."""
    counts = Counter(patient.vendor for patient in patients.values())
    if len(patients) == sum(PATIENTS.values()) and dict(counts) != PATIENTS:
        fix = "Use the table as it was published"
        yield flaw(None, f"patients by vendor {_said(PATIENTS)}", _said(counts), fix)


def _remarks(
    patients: Mapping[str, Patient], found: Mapping[str, _Found], taken: Mapping[str, _Found]
) -> Iterator[str]:
    have = Counter(patients[code].vendor for code in taken)
    whole = sum(PATIENTS.values())
    yield f"{len(taken)} patients are here ({_said(have)}), of {whole} that were published"
    if len(patients) != whole:
        yield f"The table has {len(patients)} patients; the published one has {whole}"
    if len(found) < len(patients):
        yield f"{len(patients) - len(found)} patients of the table have no folder here"
    if len(found) > len(taken):
        yield (
            f"{len(found) - len(taken)} unlabelled patients are left out: their _gt files are not "
            "masks; the layout mnms-with-unlabeled takes them"
        )


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{vendor} {count}" for vendor, count in sorted(counts.items())) or "none"


def _matches(folder: Path) -> bool:
    return find_table(folder) is not None and any(p.name.lower() in PARTS for p in folders(folder))


LAYOUT = Layout(
    "mnms",
    "a table *nformation*.csv with a column 'External code' beside Training/ or Testing/",
    _matches,
    read_mnms,
)
WITH_UNLABELED = Layout(
    "mnms-with-unlabeled",
    LAYOUT.looks_for,
    lambda _folder: False,
    lambda folder: read_mnms(folder, include_unlabeled=True),
)
