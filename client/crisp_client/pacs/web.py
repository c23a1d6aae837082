"""DICOMweb: QIDO finds, WADO fetches, STOW stores."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session, create_session_from_user_pass

from crisp_client.pacs.places import DicomwebPlace, credentials_of
from crisp_client.pacs.query import FoundSeries, Question
from crisp_core.errors import ConnectionFailedError
from crisp_core.files.dicom.exchange import file_bytes, whole_object

STUDY, SERIES = "0020000D", "0020000E"
MODALITY, COUNT = "00080060", "00201209"
FAILED = "00081198"
AT_ONCE = 1000
"""Answers a page of QIDO."""
BATCH = 20
"""Objects in one STOW."""


def find(place: DicomwebPlace, question: Question) -> Iterator[FoundSeries]:
    """Yield the series that match, study by study.

    Raises:
        ConnectionFailedError: If the PACS is not reached or refuses.
    """
    with _client(place) as client:
        filters = dict(question.filters)
        for study in _pages(client, filters):
            uid = _value(study, STUDY)
            only = {"Modality": question.modality} if question.modality else {}
            for entry in client.search_for_series(uid, search_filters=only, fields=[COUNT]):
                count = _value(entry, COUNT)
                yield FoundSeries(
                    study_uid=uid,
                    series_uid=_value(entry, SERIES),
                    modality=_value(entry, MODALITY),
                    count=int(count) if count else None,
                )


def fetch(place: DicomwebPlace, series: FoundSeries, keep: Callable[[bytes], None]) -> None:
    """Give every object of a series, as a file's bytes, to `keep`, as it comes; as `find`."""
    with _client(place) as client:
        for dataset in client.iter_series(series.study_uid, series.series_uid):
            keep(file_bytes(dataset))


def send(place: DicomwebPlace, files: Sequence[Path]) -> None:
    """Store objects, `BATCH` at a time.

    Raises:
        ConnectionFailedError: If the PACS is not reached, or refuses one of them.
        DataError: If a file is no DICOM object.
    """
    with _client(place) as client:
        for first in range(0, len(files), BATCH):
            some = [whole_object(path) for path in files[first : first + BATCH]]
            answer = client.store_instances(some)
            refused = answer.get("FailedSOPSequence", [])
            if refused:
                got = f"{len(refused)} refused, the first with {refused[0].get('FailureReason')}"
                raise _failed(place, "every object stored", got)


def _pages(client: DICOMwebClient, filters: dict[str, str]) -> Iterator[Mapping[str, Any]]:
    offset = 0
    while True:
        found = client.search_for_studies(
            search_filters=filters, limit=AT_ONCE, offset=offset, fields=[STUDY]
        )
        yield from found
        if len(found) < AT_ONCE:
            return
        offset += len(found)


@contextmanager
def _client(place: DicomwebPlace) -> Iterator[DICOMwebClient]:
    """Open a session; whatever goes wrong in it is one sentence without the password."""
    user = credentials_of(place)
    session = create_session_from_user_pass(*user) if user else create_session()
    session.verify = place.authority or True
    if place.certificate:
        session.cert = (place.certificate, place.key)
    session.trust_env = False  # a proxy of the machine's environment must not see patients
    client = DICOMwebClient(place.url, session=session)
    client.set_http_retry_params(retry=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield client
    except (requests.RequestException, OSError, ValueError, KeyError, TypeError) as error:
        said = getattr(getattr(error, "response", None), "status_code", None)
        got = f"answer {said}" if said else type(error).__name__
        raise _failed(place, "a DICOMweb service that answers", got) from None
    finally:
        session.close()


def _value(entry: Mapping[str, Any], tag: str) -> str:
    element = entry.get(tag)
    values = element.get("Value", []) if isinstance(element, dict) else []
    return str(values[0]) if values else ""


def _failed(place: DicomwebPlace, expected: str, got: str) -> ConnectionFailedError:
    return ConnectionFailedError(
        expected=expected,
        got=got,
        where=place.url,
        fix="Look at address, credentials and rights in pacs.toml, and at the PACS's own log",
    )
