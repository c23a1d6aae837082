"""DICOM-SEG: the labels of one series as an object that any PACS keeps beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from crisp_core.arrays import IntArray
from crisp_core.files.dicom.meanings import meaning_of
from crisp_core.files.dicom.origin import (
    MAKER,
    SERIES_NUMBERS,
    Origin,
    source_images,
    stored_slices,
)
from crisp_core.files.dicom.series import Series
from crisp_core.files.dicom.values import quiet

SCHEME = "SCT"
Colour = tuple[int, int, int]


@quiet()
def segmentation(
    series: Series,
    labels: IntArray,
    names: Sequence[str],
    colours: Sequence[Colour],
    origin: Origin,
    *,
    labelmap: bool = False,
) -> Dataset:
    """Make the segmentation of a series; slices without a structure are left out.

    Args:
        series: What was segmented.
        labels: (D, H, W) on its grid, 0 background, structure i is i + 1.
        names: Of the structures.
        colours: Of the structures, RGB.
        origin: Who segmented it.
        labelmap: One map of labels (supplement 243), which older viewers do not know; otherwise
            one binary mask a structure.

    Raises:
        DataError: If the series has no frame of reference.
    """
    images = source_images(series)
    pixels = _in_stored_order(stored_slices(labels, series), series, images)
    algorithm = AlgorithmIdentificationSequence(
        name=origin.algorithm,
        family=codes.cid7162.ArtificialIntelligence,
        version=origin.model_version,
    )
    return Segmentation(
        source_images=images,
        pixel_array=pixels,
        segmentation_type="LABELMAP" if labelmap else "BINARY",
        segment_descriptions=[
            _described(number, name, colour, algorithm, origin)
            for number, (name, colour) in enumerate(zip(names, colours, strict=True), start=1)
        ],
        series_instance_uid=origin.uid("segmentation series"),
        series_number=SERIES_NUMBERS["segmentation"],
        sop_instance_uid=origin.uid("segmentation"),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=origin.algorithm,
        software_versions=origin.software,
        omit_empty_frames=bool(pixels.any()),  # without any frame there is no object
        device_serial_number=origin.model_version,
        content_description="Research result, not for diagnosis",
        content_label="CRISP",
        series_description="CRISP-FL segmentation (research)",
    )


def _described(
    number: int,
    name: str,
    colour: Colour,
    algorithm: AlgorithmIdentificationSequence,
    origin: Origin,
) -> SegmentDescription:
    meaning = meaning_of(name)
    return SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=Code(meaning.category[0], SCHEME, meaning.category[1]),
        segmented_property_type=Code(meaning.kind[0], SCHEME, meaning.kind[1]),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        tracking_uid=origin.uid(f"structure {number}"),
        tracking_id=name,
        display_color=CIELabColor.from_rgb(*colour),
    )


def _in_stored_order(pixels: IntArray, series: Series, images: Sequence[Dataset]) -> IntArray:
    """Order slices as the frames of a multi-frame file; frames of other phases stay empty."""
    if "NumberOfFrames" not in images[0]:
        return pixels
    stored = np.zeros((int(images[0].NumberOfFrames), *pixels.shape[1:]), pixels.dtype)
    stored[[frame.number for frame in series.frames]] = pixels
    return stored
