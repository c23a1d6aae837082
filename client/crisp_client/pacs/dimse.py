"""DIMSE: C-FIND finds, C-GET fetches, C-STORE stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from crisp_client.pacs.places import DimsePlace
from crisp_client.pacs.query import FoundSeries, Question
from crisp_client.pacs.tls import calling_context
from crisp_core.errors import ConnectionFailedError
from crisp_core.files.dicom.exchange import OBJECTS, identifier, object_name
from crisp_core.files.dicom.opening import SYNTAXES

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
"""Study root query and retrieve, PS3.4 annex C."""
SUCCESS = 0x0000
MORE = (0xFF00, 0xFF01)
WARNINGS = range(0xB000, 0xC000)
OUT_OF_RESOURCES = 0xA700


def find(place: DimsePlace, question: Question) -> Iterator[FoundSeries]:
    """Yield the series that match, study by study.

    Raises:
        ConnectionFailedError: If the PACS is not reached or refuses.
    """
    with _associated(place, [build_context(FIND)]) as association:
        studies = [
            str(study.StudyInstanceUID)
            for study in _found(association, "STUDY", dict(question.filters), ("StudyInstanceUID",))
        ]
        wanted = ("SeriesInstanceUID", "Modality", "NumberOfSeriesRelatedInstances")
        for uid in studies:
            filters = {"StudyInstanceUID": uid}
            if question.modality:
                filters["Modality"] = question.modality
            for entry in _found(association, "SERIES", filters, wanted):
                count = str(entry.get("NumberOfSeriesRelatedInstances", "") or "")
                yield FoundSeries(
                    study_uid=uid,
                    series_uid=str(entry.SeriesInstanceUID),
                    modality=str(entry.get("Modality", "") or ""),
                    count=int(count) if count.isdigit() else None,
                )


def fetch(place: DimsePlace, series: FoundSeries, keep: Callable[[bytes], None]) -> None:
    """Give every object of a series, as a file's bytes, to `keep`, as it comes.

    Raises:
        ConnectionFailedError: If the PACS is not reached, refuses, or sends less than it has.
    """
    trouble: list[Exception] = []

    def received(event: evt.Event) -> int:
        try:
            keep(event.encoded_dataset())
        except Exception as error:  # must not kill the network's thread
            trouble.append(error)
            return OUT_OF_RESOURCES
        return SUCCESS

    contexts = [build_context(GET), *(build_context(uid, list(SYNTAXES)) for uid in OBJECTS)]
    roles = [build_role(uid, scp_role=True) for uid in OBJECTS]
    filters = {"StudyInstanceUID": series.study_uid, "SeriesInstanceUID": series.series_uid}
    question = identifier("SERIES", filters, ())
    handlers = [(evt.EVT_C_STORE, received)]
    with _associated(place, contexts, roles, handlers) as association:
        for status, _ in association.send_c_get(question, GET):
            code = _code(status)
            if code not in {SUCCESS, *MORE}:
                raise trouble[0] if trouble else _failed(place, "the whole series", f"{code:#06x}")


def send(place: DimsePlace, files: Sequence[Path]) -> None:
    """Store objects.

    Raises:
        ConnectionFailedError: If the PACS is not reached, or refuses one of them.
        DataError: If a file is no DICOM object.
    """
    names = [object_name(path) for path in files]
    kinds = sorted({(name.sop_class_uid, name.syntax) for name in names})
    contexts = [build_context(sop_class, syntax) for sop_class, syntax in kinds]
    with _associated(place, contexts) as association:
        accepted = {
            (context.abstract_syntax, context.transfer_syntax[0])
            for context in association.accepted_contexts
        }
        for path, name in zip(files, names, strict=True):
            if (name.sop_class_uid, name.syntax) not in accepted:
                got = f"not class {name.sop_class_uid} as {SYNTAXES[name.syntax]}"
                raise _failed(place, "a PACS that takes what is sent", got)
            code = _code(association.send_c_store(path))
            if code != SUCCESS and code not in WARNINGS:
                raise _failed(place, "every object stored", f"{code:#06x} for one")


def _found(
    association: Association, level: str, filters: Mapping[str, str], wanted: Sequence[str]
) -> Iterator[Any]:
    """Yield the answers of one C-FIND."""
    answers = association.send_c_find(identifier(level, filters, wanted), FIND)
    for status, answer in answers:
        code = _code(status)
        if code in MORE and answer is not None:
            yield answer
        elif code != SUCCESS:
            where = f"{association.acceptor.ae_title} (C-FIND)"
            raise ConnectionFailedError(
                expected="an answer to a query", got=f"{code:#06x}", where=where, fix=_FIX
            )


@contextmanager
def _associated(
    place: DimsePlace,
    contexts: Sequence[PresentationContext],
    roles: Sequence[Any] = (),
    handlers: Sequence[Any] = (),
) -> Iterator[Association]:
    """Open an association and release it, whatever happens in between."""
    ae = AE(ae_title=place.calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = place.timeout_s
    ae.connection_timeout = place.timeout_s
    association = ae.associate(
        place.host,
        place.port,
        contexts=list(contexts),
        ae_title=place.ae_title,
        ext_neg=list(roles),
        evt_handlers=list(handlers),
        tls_args=(calling_context(place), place.host) if place.tls else None,
    )
    if not association.is_established:
        refused = association.is_rejected
        got = "a refusal of our AE title" if refused else "no association"
        raise _failed(place, "an association", got)
    try:
        yield association
    finally:
        association.release()


def _code(status: Any) -> int:  # noqa: ANN401 - a dataset, perhaps empty
    return int(status.Status) if status and "Status" in status else -1


def _failed(place: DimsePlace, expected: str, got: str) -> ConnectionFailedError:
    where = f"{place.ae_title} at {place.host}:{place.port}, called by {place.calling}"
    return ConnectionFailedError(expected=expected, got=got, where=where, fix=_FIX)


_FIX = "Look at pacs.toml, at which AE titles the PACS knows, and at the PACS's own log"
