"""A structured report (TID 1500): volumes of the structures, the flag and its reasons, in codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from crisp_core.files.dicom.meanings import meaning_of
from crisp_core.files.dicom.origin import MAKER, SERIES_NUMBERS, Origin, source_images
from crisp_core.files.dicom.series import Series
from crisp_core.files.dicom.values import quiet

OURS = "99CRISP"
"""Scheme of the codes that no published vocabulary has."""
SCHEME = "SCT"
PROCEDURES = {
    "CT": Code("25045-6", "LN", "CT Unspecified body region"),
    "MR": Code("25056-3", "LN", "MR Unspecified body region"),
}
MILLILITRE = Code("mL", "UCUM", "mL")
USE = Code("intended-use", OURS, "Intended use")
RESEARCH = Code("research", OURS, "Research result, not for diagnosis")
FLAG = Code("flag", OURS, "Flag of the prediction")
REASON = Code("flag-reason", OURS, "Reason of the flag")


@dataclass(frozen=True)
class Verdict:
    """A flag and its reasons: code -> the words that a person reads."""

    decision: tuple[str, str]
    reasons: Mapping[str, str]


@quiet()
def measurement_report(
    series: Series,
    segmented: Dataset,
    volumes_ml: Mapping[str, float],
    verdict: Verdict | None,
    origin: Origin,
) -> Dataset:
    """Make the report of a prediction; it refers to the segments and to the images.

    Args:
        series: What was segmented.
        segmented: Its DICOM segmentation, segments in the order of `volumes_ml`.
        volumes_ml: By structure; one that was not found has 0 and no segment to refer to.
        verdict: What the risk rule says, if the model has one.
        origin: Who measured.
    """
    images = source_images(series)
    groups = [
        _structure(number, name, volume, segmented, origin)
        for number, (name, volume) in enumerate(volumes_ml.items(), start=1)
    ]
    report = MeasurementReport(
        observation_context=_observed_by(origin),
        procedure_reported=PROCEDURES[series.facts.modality],
        imaging_measurements=[_whole(verdict, origin), *groups],
        title=codes.DCM.ImagingMeasurementReport,
    )
    made = Comprehensive3DSR(
        evidence=[*images, segmented],
        content=report[0],
        series_instance_uid=origin.uid("report series"),
        series_number=SERIES_NUMBERS["report"],
        sop_instance_uid=origin.uid("report"),
        instance_number=1,
        manufacturer=MAKER,
        series_description="CRISP-FL volumes (research)",
    )
    made.CodingSchemeIdentificationSequence = [_own_scheme()]
    return made


def _observed_by(origin: Origin) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=origin.uid(f"device {origin.software}"),
        name=f"{MAKER} {origin.software}",
        manufacturer_name=MAKER,
        model_name=origin.algorithm,
        serial_number=origin.model_version,
    )
    context = ObserverContext(
        observer_type=codes.DCM.Device, observer_identifying_attributes=device
    )
    return ObservationContext(observer_device_context=context)


def _algorithm(origin: Origin) -> AlgorithmIdentification:
    return AlgorithmIdentification(name=origin.algorithm, version=origin.model_version)


def _whole(verdict: Verdict | None, origin: Origin) -> MeasurementsAndQualitativeEvaluations:
    """Say what the result as a whole is for, and whether somebody must look at it."""
    evaluations = [QualitativeEvaluation(name=USE, value=RESEARCH)]
    if verdict is not None:
        code, words = verdict.decision
        evaluations.append(QualitativeEvaluation(name=FLAG, value=Code(code, OURS, words)))
        evaluations += [
            QualitativeEvaluation(name=REASON, value=Code(reason, OURS, meaning[:64]))
            for reason, meaning in verdict.reasons.items()
        ]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=origin.uid("whole"), identifier="prediction"),
        algorithm_id=_algorithm(origin),
        qualitative_evaluations=evaluations,
    )


def _structure(
    number: int, name: str, volume_ml: float, segmented: Dataset, origin: Origin
) -> MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations:
    """Give the volume of one structure, with its segment where it has one."""
    meaning = meaning_of(name)
    measured = Measurement(name=codes.SCT.Volume, value=round(volume_ml, 4), unit=MILLILITRE)
    tracking = TrackingIdentifier(uid=origin.uid(f"structure {number}"), identifier=name)
    kind = CodedConcept(meaning.kind[0], SCHEME, meaning.kind[1])
    category = CodedConcept(meaning.category[0], SCHEME, meaning.category[1])
    if volume_ml == 0:
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            algorithm_id=_algorithm(origin),
            finding_type=kind,
            finding_category=category,
            measurements=[measured],
        )
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        referenced_segment=_segment(number, segmented),
        algorithm_id=_algorithm(origin),
        finding_type=kind,
        finding_category=category,
        measurements=[measured],
    )


def _segment(number: int, segmented: Dataset) -> ReferencedSegment:
    of_series = segmented.ReferencedSeriesSequence[0].SeriesInstanceUID
    return ReferencedSegment(
        sop_class_uid=segmented.SOPClassUID,
        sop_instance_uid=segmented.SOPInstanceUID,
        segment_number=number,
        source_series=SourceSeriesForSegmentation(of_series),
    )


def _own_scheme() -> Dataset:
    """Say whose the codes are that no published vocabulary has."""
    scheme = Dataset()
    scheme.CodingSchemeDesignator = OURS
    scheme.CodingSchemeName = "CRISP-FL: codes of predictions"
    scheme.CodingSchemeResponsibleOrganization = MAKER
    return scheme
