"""Masks from RTSTRUCT: outlines filled on the series' own pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from crisp_core.arrays import BoolArray, FloatArray
from crisp_core.files.dicom.drawing import (
    Sources,
    file_shape,
    painted,
    same_space,
    slice_of,
    to_voxels,
    wanted,
)
from crisp_core.files.dicom.opening import read_whole
from crisp_core.files.dicom.refusal import refused
from crisp_core.files.dicom.series import Series
from crisp_core.files.dicom.values import Attributes
from crisp_core.files.volumes import LabelVolume
from crisp_core.numerics.polygons import filled

STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
FEWEST_CORNERS = 3


def read_contours(
    path: Path, series: Series, labels: Mapping[str, int] | None = None
) -> LabelVolume:
    """Read the structures of a structure set that was drawn on a series.

    A pixel belongs to a structure if its centre lies inside an odd number of the structure's
    outlines on that slice: an outline in an outline is a hole.

    Args:
        path: The structure set.
        series: What it was drawn on.
        labels: Label by the structure's name; None: structures get their own numbers.

    Raises:
        DataError: If it is damaged, was drawn on other images or between their slices, holds
            open outlines or single points, or structures overlap.
    """
    attributes = read_whole(path)
    where = attributes.where
    found = attributes.items("StructureSetROISequence")
    names = [(item.whole("ROINumber"), item.text("ROIName").strip()) for item in found]
    chosen = wanted(names, labels, where)
    for item in found:
        if item.whole("ROINumber") in chosen and item.has("ReferencedFrameOfReferenceUID"):
            same_space(item.uid("ReferencedFrameOfReferenceUID"), series, item.where)
    drawn = {
        item.whole("ReferencedROINumber"): item for item in attributes.items("ROIContourSequence")
    }
    parts = [
        (chosen[number], index, pixels)
        for number in chosen
        if number in drawn
        for index, pixels in _slices(drawn[number], series)
    ]
    if not parts:
        fix = "Give the series, and the phase, that the structures were drawn on"
        raise refused(where, "structures drawn on this series", "none", fix)
    return painted(parts, series.volume.grid, where)


def _slices(structure: Attributes, series: Series) -> Iterator[tuple[int, BoolArray]]:
    """Yield the slices that a structure has outlines on, filled."""
    grid, sources = series.volume.grid, Sources(series)
    outlines: dict[int, list[FloatArray]] = {}
    for contour in structure.items("ContourSequence"):
        if sources.hold(contour.items("ContourImageSequence")):
            voxels = to_voxels(_corners(contour), grid)
            index = slice_of(voxels, grid, contour.where)
            outlines.setdefault(index, []).append(voxels[:, 1::-1])
    columns, rows, _ = file_shape(grid)
    for index, polygons in outlines.items():
        yield index, filled(polygons, (rows, columns))


def _corners(contour: Attributes) -> FloatArray:
    """Return the corners (N, 3) of a closed outline, in DICOM's axes."""
    kind = contour.text("ContourGeometricType", 32).strip()
    values = contour.numbers("ContourData")
    count = contour.whole("NumberOfContourPoints")
    if len(values) != 3 * count:
        raise refused(contour.where, f"{3 * count} values of ContourData", str(len(values)))
    if kind not in CLOSED or count < FEWEST_CORNERS:
        got = f"{kind or 'no type'} of {count} points"
        fix = "Leave out structures that are points or open lines, or close them"
        raise refused(contour.where, "closed outlines of at least 3 corners", got, fix)
    return np.reshape(values, (count, 3))
