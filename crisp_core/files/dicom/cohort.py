"""DICOM series and the masks made on them as a site's folder to train on.

What is written is voxels, their place and labels: no header, no name, no date, no UID. Patients
are numbered. A mask is matched with the one series, and the one phase of it, that it was made on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crisp_core.errors import DataError, UsageError
from crisp_core.files.atomic import write_text
from crisp_core.files.dicom.contours import STRUCTURES
from crisp_core.files.dicom.listing import SeriesEntry, list_series
from crisp_core.files.dicom.masks import MASKS, read_mask
from crisp_core.files.dicom.opening import place_of, read_header
from crisp_core.files.dicom.refusal import refused
from crisp_core.files.dicom.series import Series, read_phases
from crisp_core.files.layouts.house_writer import Imported
from crisp_core.files.volumes import LabelVolume, write_labels, write_map

HEADER = "case,patient,phase"


@dataclass(frozen=True)
class _Pair:
    """A phase of a series and its mask, whose patient is a number."""

    patient: str
    series: Series
    mask: LabelVolume


def structure_names(path: Path) -> tuple[str, ...]:
    """Return the names of the structures in a segmentation or structure set, in its order.

    Raises:
        DataError: If it is damaged.
    """
    header = read_header(path)
    if header.uid("SOPClassUID") == STRUCTURES:
        items, keyword = header.items("StructureSetROISequence"), "ROIName"
    else:
        items, keyword = header.items("SegmentSequence"), "SegmentLabel"
    return tuple(item.text(keyword).strip() for item in items)


def write_cohort(folder: Path, out: Path, classes: Sequence[str] | None = None) -> Imported:
    """Write `images/`, `labels/` and `cases.csv` from a folder of DICOM series and masks.

    Series without a mask are left out.

    Args:
        folder: Of series, DICOM-SEG and RTSTRUCT, of any number of patients; not changed.
        out: Gets one new folder, of the name of `folder`.
        classes: Names of the structures that become the labels 1, 2, …; None: those of the masks,
            which must then all have the same.

    Raises:
        DataError: If a file is damaged, a mask fits no series or several, or names differ.
        UsageError: If the folder is there.
        RunStateError: If it cannot be written.
    """
    site = out / folder.resolve().name
    if site.exists():
        fix = "Name another folder, or remove this one"
        raise UsageError(
            expected=f"no folder {site.name!r}", got="one that is there", where=str(out), fix=fix
        )
    entries = list_series(folder)
    masks = [path for one in entries if one.sop_class_uid in MASKS for path in one.files]
    if not masks:
        fix = "Add the DICOM-SEG or RTSTRUCT files that were made on the series"
        where = f"folder {folder.name!r}"
        raise refused(where, "at least one mask", "none", fix)
    names = tuple(classes) if classes else _common_names(masks)
    labels = {name: number for number, name in enumerate(names, start=1)}
    rows = [HEADER]
    for number, pair in enumerate(_pairs(entries, masks, labels), start=1):
        case, facts = f"case-{number:04d}", pair.series.facts
        phase = str(facts.phase) if facts.phase_count > 1 else ""
        _write_image(site / "images" / f"{case}.nii.gz", pair.series)
        write_labels(site / "labels" / f"{case}.nii.gz", pair.mask.array, pair.mask.grid)
        rows.append(f"{case},{pair.patient},{phase}")
    write_text(site / "cases.csv", "\n".join(rows) + "\n")
    return Imported((site,), names, 0, len(rows) - 1, len(rows) - 1)


def _common_names(masks: Sequence[Path]) -> tuple[str, ...]:
    first = structure_names(masks[0])
    for path in masks[1:]:
        other = structure_names(path)
        if other != first:
            got = f"{', '.join(first)} and {', '.join(other)}"
            fix = "Say which ones and in which order with --classes"
            raise refused(place_of(path), "the same structures in every mask", got, fix)
    return first


def _pairs(
    entries: Sequence[SeriesEntry], masks: Sequence[Path], labels: Mapping[str, int]
) -> Iterator[_Pair]:
    """Match each mask with the phase that it was made on, study by study."""
    patients: dict[str, str] = {}
    for study in dict.fromkeys(entry.study_uid for entry in entries):
        own = [entry for entry in entries if entry.study_uid == study]
        files = {path for entry in own for path in entry.files}
        mine = [path for path in masks if path in files]
        if not mine:
            continue
        phases = [
            phase
            for entry in own
            if entry.is_image
            for phase in read_phases(entry.files, entry.series_uid)
        ]
        header = read_header(mine[0])
        patient = header.text("PatientID") or study
        name = patients.setdefault(patient, f"patient-{len(patients) + 1:04d}")
        for path in mine:
            yield _Pair(name, *_match(path, phases, labels))


def _match(
    path: Path, phases: Sequence[Series], labels: Mapping[str, int]
) -> tuple[Series, LabelVolume]:
    fitting, reasons = [], []
    for phase in phases:
        try:
            fitting.append((phase, read_mask(path, phase, labels)))
        except DataError as error:
            reasons.append(f"{error.expected}, got {error.got}")
    if len(fitting) != 1:
        fix = "Put the series that it was made on, and no other of its place, beside it"
        why = f"{len(fitting)} ({'; '.join(dict.fromkeys(reasons))})" if reasons else "several"
        raise refused(place_of(path), "a mask that fits one series", why[:400], fix)
    return fitting[0]


def _write_image(path: Path, series: Series) -> None:
    """Write whole numbers as such: a third of the bytes."""
    values = series.volume.array[0]
    small = np.iinfo(np.int16)
    whole = values.min() >= small.min and values.max() <= small.max
    array = values.astype(np.int16) if whole and (values == np.rint(values)).all() else values
    write_map(path, array, series.volume.grid)
