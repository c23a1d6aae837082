"""What is asked of a PACS, and what it says that it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crisp_core.errors import ConnectionFailedError, UsageError
from crisp_core.files.dicom.exchange import checked


@dataclass(frozen=True)
class Question:
    """Which studies, and which of their series.

    Attributes:
        filters: (keyword, value) that a study must match.
        modality: Only series of this one; "" for all.
    """

    filters: tuple[tuple[str, str], ...]
    modality: str = ""


@dataclass(frozen=True)
class FoundSeries:
    """One series that a PACS has; `count` is how many objects, where it says so."""

    study_uid: str
    series_uid: str
    modality: str
    count: int | None


def question_of(
    study: str | None, accession: str | None, queries: Sequence[str], modality: str = ""
) -> Question:
    """Turn what a person typed into a question.

    Args:
        study: UID of a study.
        accession: Accession number.
        queries: Such as "PatientID=4711" or "StudyDate=20260101-20260131".
        modality: Such as "MR"; "" for all.

    Raises:
        UsageError: If nothing is asked, or a query is no keyword with a value.
    """
    filters = []
    if study:
        filters.append(("StudyInstanceUID", study))
    if accession:
        filters.append(("AccessionNumber", accession))
    for query in queries:
        keyword, _, value = query.partition("=")
        if not value:
            raise _unclear(repr(query))
        filters.append((checked(keyword), value))
    if not filters:
        raise _unclear(got="nothing")
    return Question(tuple(filters), modality)


def nothing_found(where: str) -> ConnectionFailedError:
    """Say that a PACS answered and has none of what was asked."""
    return ConnectionFailedError(
        expected="at least one series that matches",
        got="none",
        where=where,
        fix="Ask for less, or look whether this PACS may show them to us",
    )


def _unclear(got: str) -> UsageError:
    return UsageError(
        expected="--study UID, --accession NUMBER or --query KEYWORD=VALUE",
        got=got,
        where="what to fetch",
        fix="Name at least one",
    )
