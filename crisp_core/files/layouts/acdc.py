"""ACDC: cine MRI of the heart from one hospital, ED and ES as files of their own.

    database/  training/patient001/  Info.cfg   patient001_4d.nii.gz
                                     patient001_frame01.nii.gz   patient001_frame01_gt.nii.gz
               testing/patient101/ …

ED and ES in `Info.cfg` count from 1, as the names of the files do. The labels are those of M&Ms
in reverse: 1 is the right ventricle, 3 the left one.

Source:
    Bernard et al., "Deep Learning Techniques for Automatic MRI Cardiac Multi-Structures
    Segmentation and Diagnosis: Is the Problem Solved?", IEEE TMI 37(11), 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from crisp_core.files.cohort import Case
from crisp_core.files.layouts.layout import DataSet, Layout, collected, fault, folders, volumes
from crisp_core.files.meanings import plain

MEANINGS = plain("RV", "MYO", "LV")
PATIENTS = 150
PARTS = ("training", "testing")


def read_acdc(folder: Path) -> DataSet:
    """List ED and ES of every patient.

    Args:
        folder: `database`, what holds it, or one of `training` and `testing`.
    """
    patients = list(_patients(folder))
    cases, flaws = collected((place.name, partial(_of_patient, place)) for place in patients)
    have = f"{len(patients)} patients, of {PATIENTS} that were published"
    return DataSet("acdc", cases, MEANINGS, flaws, (have,), ("cine",))


def _patients(folder: Path) -> Iterator[Path]:
    """Find the folders that hold an Info.cfg, wherever they are."""
    places = [folder, *folders(folder)]
    places += [inner for place in places[1:] for inner in folders(place)]
    for place in dict.fromkeys(places):
        yield from (p for p in folders(place) if (p / "Info.cfg").is_file())


def _of_patient(place: Path) -> Iterator[Case]:
    info, files = _info(place), volumes(place)
    if info["ED"] == info["ES"]:
        fix = "Leave the patient out, or correct ED and ES in Info.cfg"
        raise fault(place.name, "two frames, ED and ES", f"{info['ED']} for both", fix)
    for phase in ("ED", "ES"):
        name = f"{place.name}_frame{int(info[phase]):02d}"
        label = files.get(f"{name}_gt")
        if label is None:
            raise fault(place.name, f"a mask {name}_gt.nii.gz", "none", "Copy the folder again")
        image, frame = files.get(name), None
        if image is None:  # a copy that keeps the cine only
            image, frame = files.get(f"{place.name}_4d"), int(info[phase]) - 1
        if image is None:
            raise fault(place.name, f"an image {name}.nii.gz", "none", "Copy the folder again")
        yield Case(
            case_id=f"{place.name}_{phase}",
            patient_id=place.name,
            images=(image,),
            label=label,
            group=info.get("Group", ""),
            phase=phase,
            frame=frame,
            site="ACDC",
            part=place.parent.name.lower() if place.parent.name.lower() in PARTS else "",
            never_empty=True,
        )


def _info(place: Path) -> dict[str, str]:
    """Read the lines `ED: 1`.

    Raises:
        DataError: If ED or ES is no number from 1 on.
    """
    text = (place / "Info.cfg").read_text(encoding="utf-8-sig", errors="replace")
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    info = {name.strip(): value.strip() for name, _, value in pairs}
    for phase in ("ED", "ES"):
        value = info.get(phase, "none")
        if not value.isdecimal() or int(value) < 1:
            fix = "Copy the folder again"
            raise fault(place.name, f"{phase} as a frame from 1 on in Info.cfg", value, fix)
    return info


LAYOUT = Layout(
    "acdc",
    "folders patientNNN with an Info.cfg, in database/training and database/testing",
    lambda folder: next(_patients(folder), None) is not None,
    read_acdc,
)
