"""DICOM objects made here, whole or odd on purpose, for whoever tests something that reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

MR, CT = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
STUDY, SERIES, SPACE = (generate_uid(entropy_srcs=[name]) for name in ("study", "series", "space"))
AXIAL = ([1.0, 0, 0], [0, 1.0, 0])
OBLIQUE = ([0.8, 0.6, 0.0], [0.0, 0.0, -1.0])
Change = Callable[[Dataset, int], None]


def phantom(slices: int = 4, rows: int = 10, columns: int = 12, seed: int = 0) -> np.ndarray:
    """Return int16 (slices, rows, columns), no two slices alike."""
    return np.random.default_rng(seed).integers(0, 1000, (slices, rows, columns)).astype(np.int16)


def position(
    number: float, directions: Sequence[Sequence[float]] = AXIAL, step_mm: float = 8.0
) -> list[float]:
    """Return the place of slice `number`: along the normal from (-20, -30, 40)."""
    normal = np.cross(*directions)
    return [round(float(x), 6) for x in np.array([-20.0, -30, 40]) + number * step_mm * normal]


def image(
    pixels: np.ndarray,
    *,
    sop_class: str = MR,
    series: str = SERIES,
    name: object = 0,
    directions: Sequence[Sequence[float]] = AXIAL,
) -> FileDataset:
    """Return one single-frame image of int16 or uint16 (rows, columns) at the first place."""
    dataset = _object(sop_class, series, name)
    dataset.Modality = "CT" if sop_class == CT else "MR"
    _place(dataset, directions, number=0)
    if sop_class == CT:
        dataset.RescaleSlope, dataset.RescaleIntercept = "1", "0"
    set_pixels(dataset, pixels)
    return dataset


def set_pixels(dataset: Dataset, pixels: np.ndarray) -> None:
    """Store 8 or 16 bit pixels (rows, columns) or (frames, rows, columns), uncompressed."""
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    data = pixels.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW"


def series_of(
    array: np.ndarray,
    *,
    sop_class: str = MR,
    series: str = SERIES,
    directions: Sequence[Sequence[float]] = AXIAL,
    step_mm: float = 8.0,
    change: Change | None = None,
) -> list[FileDataset]:
    """Return one image a slice of (slices, rows, columns); instance numbers run backwards.

    Args:
        array: The slices, in the order of their places.
        sop_class: Of the images.
        series: UID of the series.
        directions: Along the rows and along the columns.
        step_mm: From one slice to the next.
        change: Called with each dataset and its number, to make it odd.
    """
    made = []
    for number, pixels in enumerate(array):
        dataset = image(
            pixels, sop_class=sop_class, series=series, name=(series, number), directions=directions
        )
        dataset.ImagePositionPatient = position(number, directions, step_mm)
        dataset.InstanceNumber = len(array) - number
        if change is not None:
            change(dataset, number)
        made.append(dataset)
    return made


def enhanced(
    array: np.ndarray, *, directions: Sequence[Sequence[float]] = AXIAL, order: Sequence[int] = ()
) -> FileDataset:
    """Return one enhanced MR image of (slices, rows, columns), frames stored in `order`."""
    order = order or range(len(array))
    dataset = _object(ENHANCED_MR, SERIES, "enhanced")
    dataset.Modality = "MR"
    dataset.NumberOfFrames = len(array)
    shared = Dataset()
    shared.PixelMeasuresSequence = [_measures()]
    turn = Dataset()
    turn.ImageOrientationPatient = [*directions[0], *directions[1]]
    shared.PlaneOrientationSequence = [turn]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [_frame(number, directions) for number in order]
    set_pixels(dataset, array[list(order)])
    return dataset


def save(folder: Path, datasets: Sequence[FileDataset]) -> Path:
    """Write objects as 000.dcm, 001.dcm … backwards, so that names say nothing of places."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(reversed(datasets)):
        dataset.save_as(folder / f"{number:03d}.dcm", enforce_file_format=True)
    return folder


def patch(folder: Path, old: bytes, new: bytes) -> Path:
    """Exchange bytes of one length in every file of a folder: what no writer would write."""
    assert len(old) == len(new)
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new))
    return folder


def _object(sop_class: str, series: str, name: object) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(name)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, series
    dataset.FrameOfReferenceUID = SPACE
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "4711"
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "F"
    dataset.StudyDate, dataset.StudyTime = "20260101", "120000"
    dataset.AccessionNumber, dataset.StudyID, dataset.SeriesNumber = "A1", "1", 1
    dataset.Manufacturer, dataset.ManufacturerModelName = "Maker", "Model 1"
    return dataset


def _measures() -> Dataset:
    measures = Dataset()
    measures.PixelSpacing, measures.SliceThickness = [1.5, 1.25], 8
    return measures


def _place(dataset: Dataset, directions: Sequence[Sequence[float]], number: int) -> None:
    dataset.update(_measures())
    dataset.ImageOrientationPatient = [*directions[0], *directions[1]]
    dataset.ImagePositionPatient = position(number, directions)


def _frame(number: int, directions: Sequence[Sequence[float]]) -> Dataset:
    group, place = Dataset(), Dataset()
    place.ImagePositionPatient = position(number, directions)
    group.PlanePositionSequence = [place]
    return group


def segmentation(
    series: object,
    labels: np.ndarray,
    kind: str,
    directions: Sequence[Sequence[float]] = AXIAL,
) -> FileDataset:
    """Return a DICOM-SEG of labels (slices, rows, columns), empty frames left out.

    Args:
        series: A `Series`, whose objects it names as its sources.
        labels: 0 for the background; a label's segment is called "part LABEL".
        kind: BINARY, LABELMAP, or FRACTIONAL with a share of 0.8 in the labels.
        directions: Along the rows and along the columns.
    """
    whole = kind == "LABELMAP"
    dataset = _object(f"1.2.840.10008.5.1.4.1.1.66.{7 if whole else 4}", "2.25.7", kind)
    dataset.Modality, dataset.SegmentationType = "SEG", kind
    numbers = [int(number) for number in np.unique(labels) if number]
    dataset.SegmentSequence = [_named("Segment", number) for number in numbers]
    shared, turn = Dataset(), Dataset()
    turn.ImageOrientationPatient = [*directions[0], *directions[1]]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [_measures()], [turn]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = [
        (index, number, plane if whole else plane == number)
        for index, plane in enumerate(labels)
        for number in ([0] if whole else numbers)
        if (plane if whole else plane == number).any()
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        _segment_frame(series, index, number, directions) for index, number, _ in frames
    ]
    pixels = np.array([frame for _, _, frame in frames]).astype(np.uint8)
    set_pixels(dataset, pixels * (80 if kind == "FRACTIONAL" else 1))
    dataset.NumberOfFrames, dataset.MaximumFractionalValue = len(frames), 100
    if kind == "BINARY":
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
        bits = np.packbits(pixels, bitorder="little").tobytes()
        dataset.PixelData = bits + b"\0" * (len(bits) % 2)
    dataset["PixelData"].VR = "OB"
    return dataset


def outline(
    corners_mm: np.ndarray, number: float, directions: Sequence[Sequence[float]] = AXIAL
) -> Dataset:
    """Return a closed contour on slice `number`.

    Args:
        corners_mm: (N, 2) along the rows and along the columns, from the first pixel's centre.
        number: Of the slice.
        directions: Along the rows and along the columns.
    """
    points = np.array(position(number, directions)) + corners_mm @ np.array(directions)
    contour = Dataset()
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
    contour.ContourData = [f"{value:.6f}" for value in points.ravel()]
    return contour


def drawing(contours: Mapping[str, Sequence[Dataset]]) -> FileDataset:
    """Return an RTSTRUCT of the contours of each named structure."""
    dataset = _object("1.2.840.10008.5.1.4.1.1.481.3", "2.25.8", "drawing")
    dataset.Modality = "RTSTRUCT"
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, (name, outlines) in enumerate(contours.items(), start=1):
        structure, drawn = Dataset(), Dataset()
        structure.ROINumber, structure.ROIName = number, name
        structure.ReferencedFrameOfReferenceUID = SPACE
        drawn.ReferencedROINumber, drawn.ContourSequence = number, list(outlines)
        dataset.StructureSetROISequence.append(structure)
        dataset.ROIContourSequence.append(drawn)
    return dataset


def _named(kind: str, number: int) -> Dataset:
    item = Dataset()
    setattr(item, f"{kind}Number", number)
    setattr(item, f"{kind}Label", f"part {number}")
    return item


def _segment_frame(series: object, index: int, number: int, directions: object) -> Dataset:
    group = _frame(index, directions)
    if number:
        segment = Dataset()
        segment.ReferencedSegmentNumber = number
        group.SegmentIdentificationSequence = [segment]
    image, derivation, source = series.frames[index], Dataset(), Dataset()
    source.ReferencedSOPInstanceUID = image.sop_uid
    source.ReferencedFrameNumber = image.number + 1
    derivation.SourceImageSequence = [source]
    group.DerivationImageSequence = [derivation]
    return group
