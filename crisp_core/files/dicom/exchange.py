"""What goes over a network: queries, and objects as bytes of a file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydicom.datadict import dictionary_has_tag, tag_for_keyword
from pydicom.dataset import Dataset

from crisp_core.errors import UsageError
from crisp_core.files.dicom.contours import STRUCTURES
from crisp_core.files.dicom.frames import IMAGES
from crisp_core.files.dicom.opening import read_header, read_whole, syntax_of
from crisp_core.files.dicom.segments import SEGMENTATIONS

REPORTS = tuple(f"1.2.840.10008.5.1.4.1.1.88.{number}" for number in (22, 33, 34))
"""Enhanced, comprehensive and comprehensive 3-D structured reports; the last is ours."""
OBJECTS = (*IMAGES, *SEGMENTATIONS, STRUCTURES, *REPORTS)
"""Storage classes that are sent and received."""


@dataclass(frozen=True)
class ObjectName:
    """What an object is called: enough to file it, nothing of the patient."""

    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class_uid: str
    syntax: str
    expected: int | None = None
    """How many objects its series has, where the object says so."""


def object_name(path: Path) -> ObjectName:
    """Read what an object in a file is called.

    Raises:
        DataError: If the file is no DICOM, is damaged, or a UID in it is none.
    """
    header = read_header(path)
    keyword = "NumberOfSeriesRelatedInstances"
    return ObjectName(
        study_uid=header.uid("StudyInstanceUID"),
        series_uid=header.uid("SeriesInstanceUID"),
        sop_uid=header.uid("SOPInstanceUID"),
        sop_class_uid=header.uid("SOPClassUID"),
        syntax=syntax_of(header),
        expected=header.whole(keyword) if header.has(keyword) else None,
    )


def whole_object(path: Path) -> Dataset:
    """Read an object to send it; as `object_name`."""
    return read_whole(path).dataset


def file_bytes(dataset: Dataset) -> bytes:
    """Return an object, which has its file meta information, as the bytes of a file."""
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def identifier(level: str, filters: Mapping[str, str], wanted: Iterable[str]) -> Dataset:
    """Return the question of a C-FIND or C-GET.

    Args:
        level: STUDY or SERIES.
        filters: Value by the standard's keyword; "*" and "?" match as they do in a shell.
        wanted: Keywords whose values are asked for.

    Raises:
        UsageError: If a keyword is not the standard's.
    """
    question = Dataset()
    question.QueryRetrieveLevel = level
    for keyword in wanted:
        setattr(question, checked(keyword), "")
    for keyword, value in filters.items():
        setattr(question, checked(keyword), value)
    return question


def checked(keyword: str) -> str:
    """Return a keyword that the standard knows.

    Raises:
        UsageError: If it does not.
    """
    tag = tag_for_keyword(keyword)
    if tag is None or not dictionary_has_tag(tag):
        raise UsageError(
            expected="a keyword of the DICOM standard, such as StudyDate",
            got=repr(keyword[:64]),
            where="the query",
            fix="Write keywords as the standard does, without spaces",
        )
    return keyword
