"""A mask on a series, from whichever kind of object it was stored in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crisp_core.files.dicom.contours import STRUCTURES, read_contours
from crisp_core.files.dicom.opening import read_header
from crisp_core.files.dicom.refusal import refused
from crisp_core.files.dicom.segments import SEGMENTATIONS, read_segments
from crisp_core.files.dicom.series import Series
from crisp_core.files.volumes import LabelVolume

MASKS = (*SEGMENTATIONS, STRUCTURES)
"""Storage classes of the objects that hold masks."""


def read_mask(
    path: Path,
    series: Series,
    labels: Mapping[str, int] | None = None,
    fraction: float | None = None,
) -> LabelVolume:
    """Read a segmentation or a structure set on the grid of the series that it was made on.

    Args:
        path: A DICOM-SEG or RTSTRUCT file.
        series: What it was made on.
        labels: Label by the structure's name; None: structures get their own numbers.
        fraction: From which share of a pixel on a FRACTIONAL segment covers it; None: refused.

    Raises:
        DataError: If it is neither, is damaged, belongs to other images, or structures overlap.
    """
    header = read_header(path)
    kind = header.uid("SOPClassUID")
    if kind in SEGMENTATIONS:
        return read_segments(path, series, labels, fraction)
    if kind == STRUCTURES:
        return read_contours(path, series, labels)
    modality = header.text("Modality", 16).strip() or "no modality"
    raise refused(header.where, "a DICOM-SEG or an RTSTRUCT", modality, "Name the mask's file")
