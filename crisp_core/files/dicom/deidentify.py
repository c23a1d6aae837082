"""What of a DICOM object may be kept: a list of what stays, everything else goes.

Nothing is looked for and removed; what is not on the list is not copied. So a tag that nobody
thought of, a private one or one of a later standard stays behind too. UIDs are replaced by keyed
hashes: the same key gives the same ones, so a series and the masks made on it still find each
other, and nobody without the key can tell which they were.

What is burnt into the pixels no list can take out: `burn_in_signs` names what makes it likely.
"""

from __future__ import annotations

import hashlib
import hmac
import io
from collections.abc import Iterator
from pathlib import Path

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID

from crisp_core.files.atomic import write_bytes
from crisp_core.files.dicom.opening import place_of, read_whole, syntax_of
from crisp_core.files.dicom.refusal import unreadable
from crisp_core.files.dicom.values import Attributes, quiet

_UIDS = """
StudyInstanceUID SeriesInstanceUID SOPInstanceUID FrameOfReferenceUID ReferencedSOPInstanceUID
ReferencedFrameOfReferenceUID DimensionOrganizationUID ConcatenationUID
"""
_KEPT = """
SOPClassUID ImageType Modality Manufacturer ManufacturerModelName MagneticFieldStrength
ScanningSequence SequenceVariant MRAcquisitionType RepetitionTime EchoTime InversionTime FlipAngle
KVP ConvolutionKernel BurnedInAnnotation ConversionType BodyPartExamined PatientPosition Laterality

SliceThickness SpacingBetweenSlices PixelSpacing ImagePositionPatient ImageOrientationPatient
SliceLocation GantryDetectorTilt NumberOfFrames InstanceNumber SeriesNumber AcquisitionNumber

TriggerTime NominalInterval CardiacNumberOfImages TemporalPositionIdentifier TemporalPositionIndex
NumberOfTemporalPositions NominalCardiacTriggerDelayTime EffectiveEchoTime InStackPositionNumber
DimensionIndexValues

SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit
PixelRepresentation RescaleSlope RescaleIntercept RescaleType PixelPaddingValue
LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod PixelData

SegmentationType SegmentationFractionalType MaximumFractionalValue SegmentNumber SegmentLabel
SegmentAlgorithmType ReferencedSegmentNumber ReferencedSOPClassUID ReferencedFrameNumber ROINumber
ROIName ReferencedROINumber ContourGeometricType NumberOfContourPoints ContourData CodeValue
CodingSchemeDesignator CodeMeaning
"""
_SEQUENCES = """
SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence PixelMeasuresSequence
PlaneOrientationSequence PlanePositionSequence PixelValueTransformationSequence
FrameContentSequence CardiacSynchronizationSequence MREchoSequence DerivationImageSequence
SourceImageSequence SegmentSequence SegmentIdentificationSequence
SegmentedPropertyCategoryCodeSequence SegmentedPropertyTypeCodeSequence StructureSetROISequence
ROIContourSequence ContourSequence ContourImageSequence ReferencedSeriesSequence
ReferencedInstanceSequence
"""
UIDS = frozenset(_UIDS.split())
"""Replaced by keyed hashes."""
KEPT = frozenset(_KEPT.split())
"""Kept as they are: how an image was made, where it lies, when in the heart's beat, its pixels,
and what a mask calls its structures. No date, no person, no place, no description."""
SEQUENCES = frozenset(_SEQUENCES.split())
"""Followed, by the same lists."""
EMPTIED = (
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
)
"""Must be there, and say nothing."""
UID_ROOT = "2.25."
"""Under which anybody may count with 128 bits: PS3.5, annex B.2."""
PICTURES = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.3")
"""Storage classes, and beginnings of them, of secondary captures and ultrasound."""


def keyed_uid(uid: str, key: str) -> str:
    """Return the UID that stands for another; without the key nobody can tell which."""
    digest = hmac.digest(key.encode(), f"uid {uid}".encode(), hashlib.sha256)
    return UID_ROOT + str(int.from_bytes(digest[:16], "big"))


def keyed_patient(patient_id: str, key: str) -> str:
    """Return the pseudonym of a patient: 16 letters and digits that only the key explains."""
    return hmac.digest(key.encode(), f"patient {patient_id}".encode(), hashlib.sha256).hex()[:16]


def write_deidentified(source: Path, target: Path, key: str) -> tuple[str, ...]:
    """Copy what may be kept of one object.

    Args:
        source: A DICOM file; not changed.
        target: Replaced in one move; its folder is made.
        key: The site's secret.

    Returns:
        Signs that a person may be readable in its pixels.

    Raises:
        DataError: If it is damaged.
        RunStateError: If the target cannot be written.
    """
    attributes = read_whole(source)
    try:
        with quiet():
            kept = deidentified(attributes, key)
            file = io.BytesIO()
            kept.save_as(file, enforce_file_format=True)
    except Exception as error:  # a damaged value makes the writer raise anything
        raise unreadable(place_of(source), error) from None
    write_bytes(target, file.getbuffer())
    return tuple(burn_in_signs(attributes))


def deidentified(attributes: Attributes, key: str) -> FileDataset:
    """Return a new object with what may be kept of one; as `write_deidentified`."""
    dataset = attributes.dataset
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(attributes.uid("SOPClassUID"))
    meta.MediaStorageSOPInstanceUID = UID(keyed_uid(attributes.uid("SOPInstanceUID"), key))
    meta.TransferSyntaxUID = UID(syntax_of(attributes))
    kept = FileDataset("", _copied(dataset, key), file_meta=meta, preamble=bytes(128))
    patient_id = str(dataset.get("PatientID", "") or attributes.uid("StudyInstanceUID"))
    kept.PatientID = kept.PatientName = keyed_patient(patient_id, key)
    kept.PatientIdentityRemoved = "YES"
    kept.DeidentificationMethod = "allow-list, keyed UIDs"
    for keyword in EMPTIED:
        setattr(kept, keyword, "")
    return kept


def burn_in_signs(attributes: Attributes) -> Iterator[str]:
    """Say what makes it likely that a name is written in the pixels; nothing where it is not."""
    if attributes.text("BurnedInAnnotation", 16).strip().upper() == "YES":
        yield "BurnedInAnnotation is YES"
    sop_class = attributes.uid("SOPClassUID")
    if sop_class.startswith(PICTURES):
        yield "it is a secondary capture or an ultrasound picture"
    kind = str(attributes.dataset.get("ImageType", "")).upper()
    if "SECONDARY" in kind and ("SCREEN" in kind or "CAPTURE" in kind):
        yield "its ImageType names a screen"
    if attributes.text("PhotometricInterpretation").strip().startswith(("RGB", "YBR", "PALETTE")):
        yield "its pixels are coloured"


def _copied(dataset: Dataset, key: str) -> Dataset:
    kept = Dataset()
    for element in dataset:
        keyword = element.keyword
        if keyword in UIDS and element.VR == "UI":
            kept.add(DataElement(element.tag, "UI", keyed_uid(str(element.value), key)))
        elif keyword in KEPT and element.VR != "SQ":
            kept.add(element)
        elif keyword in SEQUENCES and element.VR == "SQ":
            items = [_copied(item, key) for item in element.value]
            kept.add(DataElement(element.tag, "SQ", items))
    return kept
