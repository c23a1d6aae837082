"""RTSTRUCT: the outlines of a prediction, slice by slice, for viewers that draw contours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
from pydicom import Dataset, FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    ExplicitVRLittleEndian,
    RTStructureSetStorage,
)
from pydicom.valuerep import format_number_as_ds

from crisp_core.arrays import BoolArray, FloatArray, IntArray
from crisp_core.files.dicom.frames import ENHANCED, Frame
from crisp_core.files.dicom.origin import (
    MAKER,
    SERIES_NUMBERS,
    Origin,
    source_images,
    stored_slices,
)
from crisp_core.files.dicom.series import Series
from crisp_core.files.dicom.stacking import Plane
from crisp_core.files.dicom.values import quiet
from crisp_core.numerics.contours import outlines

STUDY_COMPONENT = "1.2.840.10008.3.1.2.3.1"
"""What the study is called where a structure set refers to it."""
OF_THE_PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
OF_THE_STUDY = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
Colour = tuple[int, int, int]


@quiet()
def structure_set(
    series: Series,
    labels: IntArray,
    names: Sequence[str],
    colours: Sequence[Colour],
    origin: Origin,
) -> Dataset:
    """Make the structure set of a series: every structure an ROI, outlined along its pixels' edges.

    A structure that was not found is an ROI without contours.

    Args:
        series: What was segmented.
        labels: (D, H, W) on its grid, 0 background, structure i is i + 1.
        names: Of the structures.
        colours: Of the structures, RGB.
        origin: Who segmented it.

    Raises:
        DataError: If the series has no frame of reference.
    """
    images = source_images(series)
    dataset = _head(images[0], origin)
    dataset.ReferencedFrameOfReferenceSequence = [_referenced(series, images)]
    slices = stored_slices(labels, series)
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    dataset.RTROIObservationsSequence = []
    for number, (name, colour) in enumerate(zip(names, colours, strict=True), start=1):
        dataset.StructureSetROISequence.append(_roi(series, number, name, origin))
        contours = list(_contours(series, slices == number))
        dataset.ROIContourSequence.append(_drawn(number, colour, contours))
        dataset.RTROIObservationsSequence.append(_observation(number, name))
    return dataset


def _head(image: Dataset, origin: Origin) -> FileDataset:
    """Begin a new object of the same patient and study."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = origin.uid("structures")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    now = datetime.now(UTC)
    dataset.SpecificCharacterSet = image.get("SpecificCharacterSet", "ISO_IR 192")
    dataset.SOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    for keyword in (*OF_THE_PATIENT, *OF_THE_STUDY):
        setattr(dataset, keyword, image.get(keyword, ""))
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesInstanceUID = origin.uid("structures series")
    dataset.SeriesNumber = SERIES_NUMBERS["structures"]
    dataset.SeriesDescription = "CRISP-FL structures (research)"
    dataset.InstanceNumber = 1
    dataset.OperatorsName = ""
    dataset.Manufacturer = MAKER
    dataset.ManufacturerModelName = origin.algorithm[:64]
    dataset.SoftwareVersions = [origin.software, origin.model_version]
    dataset.FrameOfReferenceUID = image.FrameOfReferenceUID
    dataset.PositionReferenceIndicator = ""
    dataset.StructureSetLabel = "CRISP"
    dataset.StructureSetDescription = "Research result, not for diagnosis"
    dataset.StructureSetDate, dataset.StructureSetTime = _moment(now)
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = _moment(now)
    dataset.ApprovalStatus = "UNAPPROVED"
    return dataset


def _moment(now: datetime) -> tuple[str, str]:
    return now.strftime("%Y%m%d"), now.strftime("%H%M%S")


def _referenced(series: Series, images: Sequence[Dataset]) -> Dataset:
    """Name the space, the study, the series and every image of it."""
    of_series = Dataset()
    of_series.SeriesInstanceUID = series.facts.series_uid
    of_series.ContourImageSequence = [_image(image) for image in images]
    study = Dataset()
    study.ReferencedSOPClassUID = STUDY_COMPONENT
    study.ReferencedSOPInstanceUID = series.facts.study_uid
    study.RTReferencedSeriesSequence = [of_series]
    space = Dataset()
    space.FrameOfReferenceUID = series.facts.frame_of_reference_uid
    space.RTReferencedStudySequence = [study]
    return space


def _image(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return item


def _roi(series: Series, number: int, name: str, origin: Origin) -> Dataset:
    roi = Dataset()
    roi.ROINumber = number
    roi.ReferencedFrameOfReferenceUID = series.facts.frame_of_reference_uid
    roi.ROIName = name
    roi.ROIGenerationAlgorithm = "AUTOMATIC"
    roi.ROIGenerationDescription = f"{origin.algorithm} {origin.model_version}"[:64]
    return roi


def _observation(number: int, name: str) -> Dataset:
    item = Dataset()
    item.ObservationNumber = number
    item.ReferencedROINumber = number
    item.ROIObservationLabel = name[:16]
    item.RTROIInterpretedType = "ORGAN"
    item.ROIInterpreter = ""
    return item


def _drawn(number: int, colour: Colour, contours: list[Dataset]) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor = list(colour)
    item.ReferencedROINumber = number
    if contours:
        item.ContourSequence = contours
    return item


def _contours(series: Series, masks: BoolArray) -> Iterator[Dataset]:
    """Outline one structure, slice by slice, each contour on the image that it was found in."""
    for frame, mask in zip(series.frames, masks, strict=True):
        for outline in outlines(mask):
            places = _places(frame.plane, outline)
            contour = Dataset()
            contour.ContourImageSequence = [_slice(series, frame)]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(places)
            contour.ContourData = [format_number_as_ds(float(x)) for x in places.ravel()]
            yield contour


def _slice(series: Series, frame: Frame) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = series.facts.sop_class_uid
    item.ReferencedSOPInstanceUID = frame.sop_uid
    if series.facts.sop_class_uid in ENHANCED:
        item.ReferencedFrameNumber = frame.number + 1
    return item


def _places(plane: Plane, outline: FloatArray) -> FloatArray:
    """Turn rows and columns (N, 2) into millimetres (N, 3) in the patient's space."""
    between_rows, between_columns = plane.spacing_mm
    along_row, along_column = np.reshape(plane.directions, (2, 3))
    rows, columns = outline[:, :1], outline[:, 1:]
    places: FloatArray = (
        np.array(plane.position_mm)
        + columns * between_columns * along_row
        + rows * between_rows * along_column
    )
    return places
