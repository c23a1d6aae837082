"""Open every case before anybody trains on it, and say what is wrong in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from crisp_core.errors import DataError
from crisp_core.files.cohort import Case, survey
from crisp_core.files.meanings import renumbered
from crisp_core.files.orientation import SPACING_TOLERANCE, Grid, same_place
from crisp_core.files.volumes import LabelVolume, Volume, read_image, read_labels


@dataclass(frozen=True)
class Finding:
    """One thing that a person should look at; it names files, so it stays at the site."""

    level: Literal["error", "warning"]
    case_id: str | None
    sentence: str


def examine(folder: Path, class_count: int, *, follow_links: bool = False) -> tuple[Finding, ...]:
    """Check a folder and open every case in it; one bad case hides no other.

    Args:
        folder: In the house format.
        class_count: Masks may hold the labels 0 to this.
        follow_links: Whether its files may lie elsewhere.
    """
    cases, flaws = survey(folder, follow_links=follow_links)
    findings = [Finding("error", flaw.case_id, str(flaw.error)) for flaw in flaws]
    for case in cases:
        findings.extend(_findings(case, class_count))
    return tuple(findings)


def open_case(case: Case, class_count: int | None = None) -> tuple[Volume, LabelVolume]:
    """Read a case that is fit to train on and to be measured.

    Args:
        case: Of a cohort.
        class_count: The mask may hold the labels 0 to this; None allows any.

    Raises:
        DataError: The first thing that is wrong with it.
    """
    image, labels = read_image(*case.images, frame=case.frame), case_labels(case)
    for error in _errors(case, image, labels, class_count):
        raise error
    grid = _told_grid(case, image)
    return replace(image, grid=grid), replace(labels, grid=grid)


def open_image(case: Case) -> Volume:
    """Read a case's image and leave its mask closed.

    Raises:
        DataError: The first thing that is wrong with it.
    """
    image = read_image(*case.images, frame=case.frame)
    for error in image_errors(case.case_id, image):
        raise error
    return replace(image, grid=_told_grid(case, image))


def _told_grid(case: Case, image: Volume) -> Grid:
    """Return the image's grid, its spacing as the site's table corrects it."""
    if case.spacing_mm is None:
        return image.grid
    return replace(image.grid, spacing_mm=case.spacing_mm)


def case_labels(case: Case) -> LabelVolume:
    """Read a case's mask in the study's numbers.

    Raises:
        DataError: If it is unreadable, holds a number that the data set does not have, or is empty
            where that must be a mistake.
    """
    labels = read_labels(case.label, case.frame)
    if case.never_empty and not labels.array.any():
        fix = "Leave the case out: what its data set ships as its mask is none"
        where = f"mask of case {case.case_id!r}"
        raise DataError(expected="a labelled voxel", got="none", where=where, fix=fix)
    if case.numbering is None:
        return labels
    return replace(labels, array=renumbered(labels.array, case.numbering, case.case_id))


def image_errors(case_id: str, image: Volume) -> Iterator[DataError]:
    """Find what keeps an image from being network input."""
    for number, channel in enumerate(image.array):
        odd_count = int(channel.size - np.isfinite(channel).sum())
        where = f"channel {number} of the image of case {case_id!r}"
        if odd_count:
            fix = "Export the image again without NaN or infinite values"
            yield _error("finite intensities", f"{odd_count} that are not", where, fix)
        elif channel.min() == channel.max():
            fix = "Look at the image; leave the case out if it is empty"
            yield _error("an image", f"{channel.flat[0]:g} everywhere", where, fix)


def _findings(case: Case, class_count: int) -> Iterator[Finding]:
    try:
        image = read_image(*case.images, frame=case.frame)
    except DataError as error:
        yield Finding("error", case.case_id, str(error))
        image = None
    try:
        labels = case_labels(case)
    except DataError as error:
        yield Finding("error", case.case_id, str(error))
        labels = None
    for wrong in _errors(case, image, labels, class_count):
        yield Finding("error", case.case_id, str(wrong))
    if labels is not None and not labels.array.any():
        sentence = f"The mask of case {case.case_id!r} is empty: nothing is labelled in it."
        yield Finding("warning", case.case_id, sentence)


def _errors(
    case: Case, image: Volume | None, labels: LabelVolume | None, class_count: int | None
) -> Iterator[DataError]:
    if image is not None:
        yield from image_errors(case.case_id, image)
    if labels is not None:
        yield from _label_errors(case.case_id, labels, class_count)
    if image is not None and labels is not None:
        yield from _pair_errors(case.case_id, image.grid, labels.grid)


def _label_errors(
    case_id: str, labels: LabelVolume, class_count: int | None
) -> Iterator[DataError]:
    low, high = int(labels.array.min()), int(labels.array.max())
    if low < 0 or (class_count is not None and high > class_count):
        allowed = "labels of 0 or more" if class_count is None else f"labels 0 to {class_count}"
        got = ", ".join(str(value) for value in np.unique(labels.array))
        fix = "Map the mask to the study's classes, or correct `classes` in the study"
        yield _error(allowed, got, f"mask of case {case_id!r}", fix)


def _pair_errors(case_id: str, image: Grid, mask: Grid) -> Iterator[DataError]:
    where, fix = f"mask of case {case_id!r}", "Resample the mask onto its image, or export it again"
    if image.shape != mask.shape:
        yield _error(f"the image's shape {image.shape}", f"{mask.shape}", where, fix)
    elif not np.allclose(image.spacing_mm, mask.spacing_mm, rtol=SPACING_TOLERANCE, atol=0):
        expected = f"spacing_mm within 1 % of the image's {_rounded(image)}"
        yield _error(expected, _rounded(mask), where, fix)
    elif not same_place(image, mask):
        yield _error("the image's place and orientation", "another affine", where, fix)


def _rounded(grid: Grid) -> str:
    return f"({', '.join(f'{mm:.4g}' for mm in grid.spacing_mm)})"


def _error(expected: str, got: str, where: str, fix: str) -> DataError:
    return DataError(expected=expected, got=got, where=where, fix=fix)
