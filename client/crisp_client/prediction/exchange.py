"""Images from a PACS to predict on, and results back into one; needs the extra `dicom`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from crisp_client.home import SiteHome
from crisp_client.pacs.fetch import Fetched, fetch, send
from crisp_client.pacs.places import DicomwebPlace, DimsePlace, place_named
from crisp_client.pacs.query import question_of
from crisp_client.prediction.inputs import Source
from crisp_core.errors import ConnectionFailedError, DataError, UsageError

IMAGES = ("CT", "MR")
NAME_LETTERS = 12


def sources_of_study(
    home: SiteHome, pacs: str, study_uid: str, folder: Path, series_uid: str | None = None
) -> Iterator[Source]:
    """Fetch the CT and MR series of a study.

    Args:
        home: Of this site; its `pacs.toml` names the PACS.
        pacs: Its name.
        study_uid: Of the study.
        folder: Gets one folder a series, as it came: private, and removed by the caller.
        series_uid: Only this series.

    Raises:
        UsageError: If the PACS is not known.
        ConnectionFailedError: If it is not reached, or has nothing.
        DataError: If there is no series of images.
    """
    place = place_named(home.pacs, pacs)
    fetched = [one.folder for kind in IMAGES for one in _of_kind(place, study_uid, kind, folder)]
    wanted = [one for one in fetched if series_uid in {None, one.name}]
    yield from (Source(name_of(one.name), (one,), True, one.name) for one in wanted)
    if not wanted:
        raise DataError(
            expected=f"a series of {' or '.join(IMAGES)}",
            got="none",
            where=f"the study in {pacs}",
            fix="Name another study, or another --series",
        )


def _of_kind(
    place: DicomwebPlace | DimsePlace, study_uid: str, kind: str, folder: Path
) -> list[Fetched]:
    """Fetch the series of one modality: masks and reports of the study stay where they are."""
    try:
        return list(fetch(place, question_of(study_uid, None, (), kind), folder))
    except ConnectionFailedError as error:
        if error.got == "none":
            return []
        raise


def name_of(series_uid: str) -> str:
    """Name a case after its series, without saying whose it is."""
    return f"series-{hashlib.sha256(series_uid.encode()).hexdigest()[:NAME_LETTERS]}"


def send_results(home: SiteHome, pacs: str, place: Path) -> int:
    """Store the DICOM objects of one answer in a PACS; returns how many.

    Raises:
        UsageError: If the answer has none, or the PACS is not known.
        ConnectionFailedError: If it is not reached, or refuses one: the answer stays where it is.
    """
    files = sorted(place.glob("*.dcm"))
    if not files:
        raise UsageError(
            expected="a DICOM format among those written",
            got="none",
            where="--send-to",
            fix="Add --format dicom-seg, --format sr or --format rtstruct",
        )
    send(files, place_named(home.pacs, pacs))
    return len(files)
