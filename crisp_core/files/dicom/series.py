"""A folder of DICOM files to a volume in the house's axes, the same as its NIfTI would give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crisp_core.arrays import FloatArray
from crisp_core.files.dicom.frames import IMAGES, Frame, read_instance
from crisp_core.files.dicom.listing import SeriesEntry, chosen, list_series
from crisp_core.files.dicom.opening import SYNTAXES, place_of, read_header, syntax_of
from crisp_core.files.dicom.phases import split_phases, without_copies
from crisp_core.files.dicom.pixels import read_values
from crisp_core.files.dicom.refusal import refused
from crisp_core.files.dicom.stacking import stack
from crisp_core.files.orientation import Grid, grid_of, to_house
from crisp_core.files.volumes import Volume


@dataclass(frozen=True)
class SeriesFacts:
    """What else is known of a series: nothing in it names a person.

    Attributes:
        series_uid: Of the series.
        study_uid: Of its study.
        frame_of_reference_uid: Of the space that its positions are in; empty if unknown.
        sop_class_uid: What its objects are.
        instance_uids: One a slice, in the order of `Series.files`.
        modality: "CT" or "MR".
        manufacturer: As the scanner says; empty if unknown.
        model: As the scanner says; empty if unknown.
        spacing_mm: Along D, H, W.
        phase: Number of this phase, from 0.
        phase_count: How many the series has.
        moments: Of this phase's first slice, such as "trigger time": 292.2.
        syntax: In words, how the first slice's pixels are stored.
    """

    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    sop_class_uid: str
    instance_uids: tuple[str, ...]
    modality: str
    manufacturer: str
    model: str
    spacing_mm: tuple[float, float, float]
    phase: int
    phase_count: int
    moments: dict[str, float]
    syntax: str


@dataclass(frozen=True)
class Series:
    """One volume and where each slice of it comes from.

    Attributes:
        volume: In the house's axes; its grid's file axes are column, row and slice.
        frames: One a slice, in the order of the grid's third file axis.
        facts: What else is known.
    """

    volume: Volume
    frames: tuple[Frame, ...]
    facts: SeriesFacts

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the file of each slice; a multi-frame file is named once a slice."""
        return tuple(frame.path for frame in self.frames)


def read_series(
    source: Path | Iterable[Path], series_uid: str | None = None, phase: int | None = None
) -> Series:
    """Read one series.

    Args:
        source: A folder, which may hold more than this series, or files.
        series_uid: Which series; None: the only one of images.
        phase: Which phase, from 0, of a series with several images of each place.

    Raises:
        DataError: If the series is not one regular grid of grey CT or MR images, if several are
            there and none is named, or if a file is damaged; see docs/reference/dicom.md.
    """
    phases = _phases(chosen(list_series(source), series_uid))
    if phase is None and len(phases) > 1:
        got = f"{len(phases)} phases"
        fix = f"Name one, 0 to {len(phases) - 1}"
        raise refused(_series_place(phases[0][0]), "one image a position", got, fix)
    if phase is not None and not 0 <= phase < len(phases):
        where = _series_place(phases[0][0])
        raise refused(where, f"phase 0 to {len(phases) - 1}", str(phase), "Name another phase")
    return _series(phases, phase or 0)


def read_phases(source: Path | Iterable[Path], series_uid: str | None = None) -> tuple[Series, ...]:
    """Read every phase of one series, earliest first; as `read_series`."""
    phases = _phases(chosen(list_series(source), series_uid))
    return tuple(_series(phases, number) for number in range(len(phases)))


def _phases(entry: SeriesEntry) -> tuple[tuple[Frame, ...], ...]:
    read = [read_instance(path, read_header(path)) for path in entry.files]
    frames = [frame for instance in without_copies(read) for frame in instance.frames]
    return split_phases(frames, f"series {entry.series_uid}")


def _series(phases: Sequence[Sequence[Frame]], number: int) -> Series:
    frames = phases[number]
    where = _series_place(frames[0])
    stacked = stack([frame.plane for frame in frames], where)
    ordered = tuple(frames[index] for index in stacked.order)
    try:
        stored = read_values(ordered, where).transpose(2, 1, 0)  # slice, row, column to x, y, z
        grid = _grid(stored.shape, stacked.affine, where)
        volume = Volume(np.ascontiguousarray(to_house(stored, grid))[None], grid)
    except MemoryError:
        fix = "Read it on a machine with more memory"
        raise refused(where, "a series that fits the memory", "one that does not", fix) from None
    return Series(volume, ordered, _facts(ordered, grid.spacing_mm, number, len(phases)))


def _grid(shape: Sequence[int], affine: FloatArray, where: str) -> Grid:
    try:
        return grid_of(shape, affine)
    except ValueError as error:
        raise refused(where, "directions that span space", str(error)) from None


def _facts(
    frames: Sequence[Frame], spacing_mm: tuple[float, float, float], number: int, count: int
) -> SeriesFacts:
    header = read_header(frames[0].path)
    sop_class = header.uid("SOPClassUID")
    has_space = header.has("FrameOfReferenceUID")
    return SeriesFacts(
        series_uid=header.uid("SeriesInstanceUID"),
        study_uid=header.uid("StudyInstanceUID"),
        frame_of_reference_uid=header.uid("FrameOfReferenceUID") if has_space else "",
        sop_class_uid=sop_class,
        instance_uids=tuple(frame.sop_uid for frame in frames),
        modality=IMAGES[sop_class],
        manufacturer=header.text("Manufacturer").strip(),
        model=header.text("ManufacturerModelName").strip(),
        spacing_mm=spacing_mm,
        phase=number,
        phase_count=count,
        moments=frames[0].moments,
        syntax=SYNTAXES[syntax_of(header)],
    )


def _series_place(frame: Frame) -> str:
    return f"the series of {place_of(frame.path)}"
