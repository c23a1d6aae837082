"""Masks drawn on a series: which structures are wanted, and where each drawing belongs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import BoolArray, FloatArray, IntArray
from crisp_core.files.dicom.refusal import refused
from crisp_core.files.dicom.series import Series
from crisp_core.files.dicom.stacking import TO_RAS
from crisp_core.files.dicom.values import Attributes
from crisp_core.files.orientation import Grid, to_house
from crisp_core.files.volumes import LabelVolume

OFF_GRID = 0.1
"""Largest departure from a slice or a pixel of the series, as a share of one."""
LARGEST_LABEL = 32_767


@dataclass(frozen=True)
class Structure:
    """One structure that a file describes: its number there, its name, its label here."""

    number: int
    name: str
    label: int


def wanted(
    found: Sequence[tuple[int, str]], labels: Mapping[str, int] | None, where: str
) -> dict[int, Structure]:
    """Choose the structures that get a label, by their number in the file.

    Args:
        found: Number and name of each structure in the file.
        labels: Label by name; None: every structure gets its own number as label.
        where: For the sentence of an error.

    Raises:
        DataError: If a name is not there or there twice, or a number is.
    """
    numbers = [number for number, _ in found]
    if len(set(numbers)) < len(numbers):
        raise refused(where, "one structure a number", f"numbers {sorted(numbers)}")
    chosen = {number: name for number, name in found if labels is None or name in labels}
    names = list(chosen.values())
    for name in labels or ():
        if names.count(name) != 1:
            listed = ", ".join(repr(name) for _, name in found) or "none"
            fix = "Name the structures as the file does, each once"
            raise refused(where, f"one structure {name!r}", f"structures {listed}", fix)
    return {
        number: Structure(number, name, labels[name] if labels is not None else number)
        for number, name in chosen.items()
    }


def painted(
    parts: Iterable[tuple[Structure, int, BoolArray]], grid: Grid, where: str
) -> LabelVolume:
    """Put structures into one mask.

    Args:
        parts: A structure, the slice (along the grid's third file axis) and the pixels
            (rows, columns) that it covers there.
        grid: Of the series.
        where: For the sentence of an error.

    Raises:
        DataError: If two structures claim one pixel, or a label does not fit 15 bits.
    """
    columns, rows, slices = file_shape(grid)
    labels = np.zeros((slices, rows, columns), np.int16)
    for structure, index, pixels in parts:
        if not 0 < structure.label <= LARGEST_LABEL:
            raise refused(where, f"labels 1 to {LARGEST_LABEL}", str(structure.label))
        before = labels[index][pixels]
        taken = before[(before != 0) & (before != structure.label)]
        if taken.size:
            got = f"{taken.size} pixels of {structure.name!r} that are label {taken[0]} already"
            fix = "Name only structures that do not overlap"
            raise refused(where, "one structure a pixel", got, fix)
        labels[index][pixels] = structure.label
    small = labels.max() <= np.iinfo(np.uint8).max
    whole: IntArray = labels.astype(np.uint8) if small else labels
    house = to_house(whole.transpose(2, 1, 0), grid)
    return LabelVolume(np.ascontiguousarray(house), grid)


def same_space(drawing_uid: str, series: Series, where: str) -> None:
    """Check that a drawing's positions are in the series' space.

    Raises:
        DataError: If both say in which space they are and it is not one.
    """
    own = series.facts.frame_of_reference_uid
    if drawing_uid and own and drawing_uid != own:
        fix = "Give the series that the mask was drawn on"
        raise refused(where, f"a mask in the series' space {own}", drawing_uid, fix)


class Sources:
    """Which frames of which objects a series is made of, to tell phases of one place apart."""

    def __init__(self, series: Series) -> None:
        self._frames = {(frame.sop_uid, frame.number + 1) for frame in series.frames}
        self._objects = {frame.sop_uid for frame in series.frames}

    def hold(self, references: Sequence[Attributes]) -> bool:
        """Tell whether references name a frame of the series; also true if there are none."""
        return not references or any(self._holds(reference) for reference in references)

    def _holds(self, reference: Attributes) -> bool:
        uid = reference.uid("ReferencedSOPInstanceUID")
        if not reference.has("ReferencedFrameNumber"):
            return uid in self._objects
        numbers = reference.numbers("ReferencedFrameNumber")
        return any((uid, int(number)) in self._frames for number in numbers)


def to_voxels(points_mm: FloatArray, grid: Grid) -> FloatArray:
    """Turn points (N, 3) in DICOM's axes into (column, row, slice) of the series, in voxels."""
    inverse = np.linalg.inv(np.array(grid.affine)) @ TO_RAS
    voxels: FloatArray = points_mm @ inverse[:3, :3].T + inverse[:3, 3]
    return voxels


def slice_of(voxels: FloatArray, grid: Grid, where: str) -> int:
    """Return the slice that points (N, 3) in voxels lie on.

    Raises:
        DataError: If they lie between slices, on several, or outside of the series.
    """
    index = int(np.rint(np.clip(voxels[0, 2], -1, 1e6)))
    off = float(np.abs(voxels[:, 2] - index).max())
    if not 0 <= index < file_shape(grid)[2] or off > OFF_GRID:
        got = f"slice {float(voxels[0, 2]) + 1:.2f}, up to {off:.2f} slices off"
        raise refused(where, f"a drawing on one of slices 1 to {file_shape(grid)[2]}", got, _ITS)
    return index


def file_shape(grid: Grid) -> tuple[int, int, int]:
    """Return a grid's lengths along column, row and slice."""
    lengths = dict(zip(grid.order, grid.shape, strict=True))
    return lengths[0], lengths[1], lengths[2]


_ITS = "Give the series that the mask was drawn on"
