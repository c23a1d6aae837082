"""A data set as folders in house format: links where a file can be used as it is."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip

from crisp_core.arrays import FloatArray
from crisp_core.errors import RunStateError, UsageError
from crisp_core.files.atomic import write_bytes, write_text
from crisp_core.files.cohort import SUFFIXES, Case
from crisp_core.files.examine import case_labels
from crisp_core.files.layouts.layout import DataSet
from crisp_core.files.layouts.reading import in_study_numbers
from crisp_core.files.meanings import Numbering, as_name
from crisp_core.files.orientation import Grid, to_file
from crisp_core.files.volumes import COMPRESSION_LEVEL, read_image, write_labels

COLUMNS = ("case", "patient", "group", "split", "phase")


@dataclass(frozen=True)
class Imported:
    """What was made: the sites' folders, the classes of their labels, how many files of each kind.

    Attributes:
        sites: A folder a site.
        classes: Name of the labels 1, 2, …; empty where the data set does not say.
        linked_count: Links to files that are used as they are.
        frame_count: Images that had to be written: one frame of a cine.
        mask_count: Masks that had to be written: one frame, or other numbers.
    """

    sites: tuple[Path, ...]
    classes: tuple[str, ...]
    linked_count: int
    frame_count: int
    mask_count: int


def write_house(data: DataSet, out: Path, classes: Sequence[str] | None = None) -> Imported:
    """Write a folder a site: `images/`, `labels/`, `cases.csv`.

    Args:
        data: Its cases; none of its files is changed.
        out: Gets one new folder a site; made if absent.
        classes: Order of the labels in what is written; None takes the parts that the data set's
            own numbers stand for, in their order.

    Raises:
        DataError: If a file that must be written anew cannot be read.
        UsageError: If a site's folder is already there.
        RunStateError: If the folder cannot be written.
    """
    chosen = tuple(classes) if classes is not None else own_classes(data)
    cases = in_study_numbers(data, chosen) if chosen else data.cases
    by_site = defaultdict[str, list[Case]](list)
    for case in cases:
        by_site[as_name(case.site or out.name)].append(case)
    for site in by_site:
        if (out / site).exists():
            fix = "Name another folder, or remove this one"
            raise UsageError(
                expected=f"no folder {site!r}", got="one that is there", where=str(out), fix=fix
            )
    counts = np.zeros(3, int)
    for site, own in by_site.items():
        for case in own:
            counts += _write_case(case, out / site)
        write_text(out / site / "cases.csv", _table(own))
    linked, frames, masks = (int(count) for count in counts)
    return Imported(tuple(out / site for site in sorted(by_site)), chosen, linked, frames, masks)


def own_classes(data: DataSet) -> tuple[str, ...]:
    """Name the labels of a data set by what each stands for alone.

    Examples:
        >>> own_classes(DataSet("brats", (), {1: ("NCR", "TC"), 2: ("ED",), 4: ("ET", "TC")}))
        ('NCR', 'ED', 'ET')
    """
    names = (names[0] for _, names in sorted((data.meanings or {}).items()))
    return tuple(dict.fromkeys(names))


def is_identity(numbering: Numbering | None) -> bool:
    """Tell whether a mask already has the study's numbers."""
    return numbering is None or all(own == study for own, study in numbering)


def _write_case(case: Case, folder: Path) -> tuple[int, int, int]:
    """Write or link one case; count links, written images and written masks."""
    names = [case.case_id]
    if len(case.images) > 1:
        names = [f"{case.case_id}_{channel:04d}" for channel in range(len(case.images))]
    linked = frames = masks = 0
    for name, image in zip(names, case.images, strict=True):
        if case.frame is None:
            _link(folder / "images", name, image)
            linked += 1
        else:
            volume = read_image(image, frame=case.frame)
            _write_image(folder / "images" / f"{name}.nii.gz", volume.array[0], volume.grid)
            frames += 1
    if case.frame is None and is_identity(case.numbering):
        _link(folder / "labels", case.case_id, case.label)
        linked += 1
    else:
        labels = case_labels(case)
        write_labels(folder / "labels" / f"{case.case_id}.nii.gz", labels.array, labels.grid)
        masks += 1
    return linked, frames, masks


def _link(folder: Path, name: str, target: Path) -> None:
    suffix = next(end for end in SUFFIXES if target.name.endswith(end))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}{suffix}").symlink_to(target.resolve())
    except OSError as error:
        raise RunStateError(
            expected="a folder that can be written, with links",
            got=error.strerror or "an error of the disk",
            where=str(folder),
            fix="Name a folder on another disk",
        ) from None


def _write_image(path: Path, array: FloatArray, grid: Grid) -> None:
    """Write (D, H, W) in the axes and at the place of its file, in 16 bits where that does."""
    values, small = to_file(array, grid), np.iinfo(np.int16)
    whole = (values == np.rint(values)).all() and small.min <= values.min() <= values.max()
    if whole and values.max() <= small.max:
        values = values.astype(np.int16)
    affine = np.array(grid.affine)
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    write_bytes(path, igzip.compress(image.to_bytes(), COMPRESSION_LEVEL, mtime=0))


def _table(cases: Sequence[Case]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for case in cases:
        row = (case.case_id, case.patient_id, case.group, case.split or "", case.phase)
        table.writerow(row)
    return text.getvalue()
