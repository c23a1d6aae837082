"""Write synthetic cohorts as site folders in the house format."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from crisp_core.arrays import AnyArray, FloatArray
from crisp_core.errors import UsageError
from crisp_core.files.atomic import write_bytes, write_text
from crisp_core.numerics.phantom.cardiac import cardiac_patient
from crisp_core.numerics.phantom.case import PhantomCase
from crisp_core.numerics.phantom.scanners import SCANNERS
from crisp_core.numerics.phantom.tumours import HOSPITALS, tumour_patient
from crisp_core.numerics.phantom.vessels import vessel_patient

COMPRESSION_LEVEL = 3


@dataclass(frozen=True)
class PhantomKind:
    """A cohort that can be written: its sites and who makes a patient of one.

    Attributes:
        sites: Names of the site folders.
        patient_count: Patients a site unless the caller says otherwise.
        labels: Name of every label, from 1 on.
        patient: `(site, index, seed=..., size=...)` to the patient's cases.
    """

    sites: tuple[str, ...]
    patient_count: int
    labels: tuple[str, ...]
    patient: Callable[..., Iterable[PhantomCase]]


KINDS = {
    "cardiac": PhantomKind(
        sites=tuple(SCANNERS),
        patient_count=8,
        labels=("left cavity", "myocardium", "right cavity"),
        patient=cardiac_patient,
    ),
    "vessel-contrast": PhantomKind(
        sites=("contrast-1", "contrast-2", "plain-1", "plain-2"),
        patient_count=6,
        labels=("vessel",),
        patient=vessel_patient,
    ),
    "vessel-covid": PhantomKind(
        sites=("normal-1", "normal-2", "covid-1"),
        patient_count=6,
        labels=("vessel",),
        patient=vessel_patient,
    ),
    "brain": PhantomKind(
        sites=tuple(HOSPITALS),
        patient_count=8,
        labels=("tumour core", "oedema"),
        patient=tumour_patient,
    ),
}


def write_phantom(
    kind: str, folder: Path, *, seed: int, patients: int | None = None, size: int | None = None
) -> tuple[Path, ...]:
    """Write one cohort, a folder a site: images, labels and cases.csv.

    The same arguments give the same bytes. More patients leave the earlier ones as they were.

    Args:
        kind: A key of `KINDS`.
        folder: Gets one new folder a site; made if absent.
        seed: Of the cohort.
        patients: Patients a site; None is the kind's own number.
        size: Pixels along the longer side of a slice; None is what the scanner does.

    Returns:
        The site folders; the name of a folder is the name of the site.

    Raises:
        UsageError: If the kind is unknown or a site's folder is already there.
        RunStateError: If the folder cannot be written.
    """
    if kind not in KINDS:
        raise UsageError(
            expected=f"a phantom of kind {', '.join(KINDS)}",
            got=f"{kind!r}",
            where="phantom",
            fix="Choose one of them",
        )
    chosen = KINDS[kind]
    for site in chosen.sites:
        _refuse_existing(folder / site)
    count = chosen.patient_count if patients is None else patients
    for site in chosen.sites:
        cases = (
            case
            for index in range(count)
            for case in chosen.patient(site, index, seed=seed, size=size)
        )
        _write_site(folder / site, cases)
    return tuple(folder / site for site in chosen.sites)


def _refuse_existing(folder: Path) -> None:
    """Refuse to mix two cohorts in one folder."""
    if folder.exists():
        raise UsageError(
            expected=f"no folder {folder.name!r}",
            got="one that is already there",
            where=str(folder.parent),
            fix="Choose another folder, or remove this one",
        )


def _write_site(folder: Path, cases: Iterable[PhantomCase]) -> None:
    """Write the cases of one site and their table."""
    rows = ["case,patient,group,phase"]
    for case in cases:
        rows.append(f"{case.case_id},{case.patient_id},{case.group},{case.phase}")
        for name, array in (("images", case.image), ("labels", case.label)):
            path = folder / name / f"{case.case_id}.nii.gz"
            write_bytes(path, volume_bytes(array, case.affine))
    write_text(folder / "cases.csv", "\n".join(rows) + "\n")


def volume_bytes(array: AnyArray, affine: FloatArray) -> bytes:
    """Return a compressed NIfTI-1 file that depends on nothing but its arguments."""
    volume: Any = nib.Nifti1Image(np.asarray(array), affine)
    volume.header.set_xyzt_units("mm")
    volume.set_qform(affine, code=1)
    volume.set_sform(affine, code=1)
    return gzip.compress(volume.to_bytes(), COMPRESSION_LEVEL, mtime=0)
