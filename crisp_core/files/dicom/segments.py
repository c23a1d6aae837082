"""Masks from DICOM-SEG: BINARY, LABELMAP, and FRACTIONAL where a threshold is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path

import numpy as np

from crisp_core.arrays import AnyArray, BoolArray
from crisp_core.files.dicom.drawing import (
    OFF_GRID,
    Sources,
    painted,
    same_space,
    slice_of,
    to_voxels,
    wanted,
)
from crisp_core.files.dicom.frames import functional_groups
from crisp_core.files.dicom.opening import COMPRESSED, read_whole, syntax_of
from crisp_core.files.dicom.pixels import frames_here
from crisp_core.files.dicom.refusal import refused
from crisp_core.files.dicom.series import Series
from crisp_core.files.dicom.stacking import SAME_DIRECTION
from crisp_core.files.dicom.values import Attributes
from crisp_core.files.volumes import LabelVolume

SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Storage classes: segmentation, label map segmentation."""
BITS = {"BINARY": (1,), "FRACTIONAL": (8,), "LABELMAP": (8, 16)}
MOST_FRAMES = 100_000
_Part = Callable[[str], Attributes]


def read_segments(
    path: Path,
    series: Series,
    labels: Mapping[str, int] | None = None,
    fraction: float | None = None,
) -> LabelVolume:
    """Read the segments of a segmentation that was made on a series.

    Args:
        path: The segmentation.
        series: What it was made on.
        labels: Label by the segment's name; None: segments get their own numbers.
        fraction: A FRACTIONAL segment covers the pixels of at least this share; None: refused.

    Raises:
        DataError: If it is damaged, was made on another grid or other images, or segments overlap.
    """
    attributes = read_whole(path)
    where = attributes.where
    kind = _kind(attributes, fraction)
    if attributes.has("FrameOfReferenceUID"):
        same_space(attributes.uid("FrameOfReferenceUID"), series, where)
    found = [
        (item.whole("SegmentNumber"), item.text("SegmentLabel").strip())
        for item in attributes.items("SegmentSequence")
    ]
    chosen = wanted([entry for entry in found if entry[0] != 0], labels, where)
    places = _places(attributes, series)
    levels = _levels(path, attributes, [number for number, _, _ in places], kind)
    covered, described = _covered(attributes, kind, fraction), {number for number, _ in found}
    return painted(
        (
            (chosen[segment], index, pixels)
            for (_, index, part), array in zip(places, levels, strict=True)
            for segment, pixels in covered(part, array)
            if _is_described(segment, described, where) and segment in chosen
        ),
        series.volume.grid,
        where,
    )


def _is_described(segment: int, described: Set[int], where: str) -> bool:
    if segment not in described:
        raise refused(where, f"a description of segment {segment}", "none")
    return True


def _kind(attributes: Attributes, fraction: float | None) -> str:
    kind = attributes.text("SegmentationType", 16).strip()
    bits = attributes.whole("BitsAllocated")
    if bits not in BITS.get(kind, ()):
        got = f"{kind or 'no type'} of {bits} bits"
        raise refused(attributes.where, "a BINARY, LABELMAP or FRACTIONAL segmentation", got)
    if kind == "FRACTIONAL" and fraction is None:
        fix = "Say from which share of a pixel on it counts, such as 0.5"
        raise refused(attributes.where, "whole pixels", "fractions of pixels", fix)
    return kind


def _places(attributes: Attributes, series: Series) -> list[tuple[int, int, _Part]]:
    """Find frame number, slice and functional groups of each frame made on this series."""
    sources, grid = Sources(series), series.volume.grid
    found = []
    for number, part in enumerate(functional_groups(attributes, MOST_FRAMES)):
        references = [
            image
            for derivation in part("DerivationImageSequence").as_items()
            for image in derivation.items("SourceImageSequence")
        ]
        if not sources.hold(references):
            continue
        _check_plane(attributes, part, series)
        corner = part("PlanePositionSequence").numbers("ImagePositionPatient", 3)
        voxels = to_voxels(np.array([corner]), grid)
        where = f"frame {number + 1}, {attributes.where}"
        index = slice_of(voxels, grid, where)
        if np.abs(voxels[0, :2]).max() > OFF_GRID:
            got = f"one {voxels[0, 0]:.3g} columns and {voxels[0, 1]:.3g} rows aside"
            raise refused(where, "a frame on the series' pixels", got, _RESAMPLE)
        found.append((number, index, part))
    if not found:
        fix = "Give the series, and the phase, that the mask was made on"
        raise refused(attributes.where, "a mask made on this series", "other images", fix)
    return found


def _check_plane(attributes: Attributes, part: _Part, series: Series) -> None:
    plane = series.frames[0].plane
    shape = (attributes.whole("Rows"), attributes.whole("Columns"))
    if shape != plane.shape:
        wanted_shape = f"frames of {plane.shape[0]} x {plane.shape[1]} as the series"
        raise refused(attributes.where, wanted_shape, f"{shape[0]} x {shape[1]}", _RESAMPLE)
    directions = part("PlaneOrientationSequence").numbers("ImageOrientationPatient", 6)
    spacing_mm = part("PixelMeasuresSequence").positive("PixelSpacing", 2)
    turned = not np.allclose(directions, plane.directions, rtol=0, atol=SAME_DIRECTION)
    if turned or not np.allclose(spacing_mm, plane.spacing_mm, rtol=1e-3, atol=0):
        raise refused(attributes.where, "the series' orientation and spacing", "others", _RESAMPLE)


def _levels(
    path: Path, attributes: Attributes, numbers: Sequence[int], kind: str
) -> Iterator[AnyArray]:
    """Yield the stored frames (rows, columns): bits, shares or segment numbers."""
    if kind != "BINARY":
        return frames_here(path, numbers)
    if syntax_of(attributes) in COMPRESSED:
        fix = "Have the PACS send it uncompressed (explicit little endian)"
        raise refused(attributes.where, "uncompressed bits", "compressed ones", fix)
    return _bits(attributes, numbers)


def _bits(attributes: Attributes, numbers: Sequence[int]) -> Iterator[AnyArray]:
    """Unpack frames that follow one another without padding, first pixel in the lowest bit."""
    rows, columns = attributes.whole("Rows"), attributes.whole("Columns")
    size = rows * columns
    byte_count = -(-size * attributes.whole("NumberOfFrames") // 8)
    data = attributes.raw("PixelData")
    if len(data) not in {byte_count, byte_count + byte_count % 2}:
        wanted_bytes = f"{byte_count} bytes of pixel data"
        raise refused(attributes.where, wanted_bytes, str(len(data)))
    for number in numbers:
        first, past = number * size, (number + 1) * size
        few = np.frombuffer(data[first // 8 : -(-past // 8)], np.uint8)
        bits = np.unpackbits(few, bitorder="little")[first % 8 :][:size]
        yield bits.reshape(rows, columns)


def _covered(
    attributes: Attributes, kind: str, fraction: float | None
) -> Callable[[_Part, AnyArray], Iterator[tuple[int, BoolArray]]]:
    """Return a function that finds which pixels of a frame belong to which segment."""
    if kind == "LABELMAP":
        return lambda _, array: (
            (int(number), array == number) for number in np.unique(array) if number
        )
    least = 1.0
    if kind == "FRACTIONAL":
        least = (fraction or 0.0) * attributes.whole("MaximumFractionalValue")

    def one(part: _Part, array: AnyArray) -> Iterator[tuple[int, BoolArray]]:
        number = part("SegmentIdentificationSequence").whole("ReferencedSegmentNumber")
        yield number, (array >= least) & (array > 0)

    return one


_RESAMPLE = "Give the series that the mask was made on, or resample the mask onto it"
