"""The formats that go back to a PACS; needs the extra `dicom`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from crisp_client.prediction.result import Result
from crisp_core.errors import UsageError
from crisp_core.files.dicom.measurements import Verdict, measurement_report
from crisp_core.files.dicom.origin import Origin, read_head, write_object
from crisp_core.files.dicom.segmentation import segmentation
from crisp_core.files.dicom.series import Series
from crisp_core.files.dicom.structures import structure_set
from crisp_core.report.palette import Colour, structure_colour
from crisp_core.schema.answer import DECISIONS, REASONS, AnswerRecord

SEGMENTATION, STRUCTURES, REPORT = "segmentation.dcm", "structures.dcm", "report.dcm"


def write_segmentation(folder: Path, result: Result) -> None:
    """Write the labels as DICOM-SEG."""
    made = segmentation(
        _series(result),
        result.answer.labels,
        result.classes,
        _colours(result),
        origin_of(result),
        labelmap=result.record.labelmap,
    )
    write_object(folder / SEGMENTATION, made)


def write_structures(folder: Path, result: Result) -> None:
    """Write the outlines as RTSTRUCT."""
    series, names = _series(result), result.classes
    made = structure_set(series, result.answer.labels, names, _colours(result), origin_of(result))
    write_object(folder / STRUCTURES, made)


def write_report(folder: Path, result: Result) -> None:
    """Write volumes and the flag as a structured report on the DICOM-SEG beside it."""
    volumes = {name: one.volume_ml for name, one in result.record.structures.items()}
    made = measurement_report(
        _series(result),
        read_head(folder / SEGMENTATION),
        volumes,
        _verdict(result.record),
        origin_of(result),
    )
    write_object(folder / REPORT, made)


def origin_of(result: Result) -> Origin:
    """Name the maker of a result: the same request has the same objects."""
    record = result.record
    asked = record.model_dump(
        mode="json",
        include={"input_hash", "model_hash", "source", "largest_component", "labelmap", "versions"},
    )
    return Origin(
        answer_key=hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest(),
        algorithm=result.model.study.name,
        model_hash=record.model_hash,
        software=record.versions["crisp-fl"],
    )


def _verdict(record: AnswerRecord) -> Verdict | None:
    if record.flag is None:
        return None
    decision = record.flag.decision
    reasons: dict[str, str] = {code: REASONS[code] for code in record.flag.reasons}
    return Verdict((decision, DECISIONS[decision]), reasons)


def _colours(result: Result) -> list[Colour]:
    return [structure_colour(index) for index in range(len(result.classes))]


def _series(result: Result) -> Series:
    if result.case.series is None:
        raise UsageError(
            expected="a DICOM series: DICOM results refer to the images that they are about",
            got="a NIfTI image",
            where=f"case {result.case.name!r}",
            fix="Give the series as input, or leave the DICOM formats out",
        )
    return result.case.series
