"""Series out of a PACS into a folder, and files into a PACS."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from crisp_client.pacs import dimse, web
from crisp_client.pacs.places import DicomwebPlace, DimsePlace
from crisp_client.pacs.query import FoundSeries, Question, nothing_found
from crisp_core.errors import ConnectionFailedError, CrispError, RunStateError
from crisp_core.files.atomic import TEMPORARY, write_bytes
from crisp_core.files.dicom.deidentify import keyed_uid, write_deidentified
from crisp_core.files.dicom.exchange import object_name

MOST_OBJECTS = 20_000
"""In one series."""
PART = ".part"


@dataclass(frozen=True)
class Fetched:
    """One series on the disk.

    Attributes:
        folder: Named by the series' UID; one file an object, named by its UID.
        modality: Such as "MR".
        count: How many objects.
        made_now: False if the folder was there before.
        signs: Why a person may be readable in the pixels; only looked for when de-identifying.
    """

    folder: Path
    modality: str
    count: int
    made_now: bool
    signs: tuple[str, ...] = ()


def fetch(
    place: DicomwebPlace | DimsePlace, question: Question, folder: Path, *, key: str = ""
) -> Iterator[Fetched]:
    """Fetch every series that matches; each appears whole or not at all.

    Args:
        place: The PACS.
        question: What to fetch.
        folder: Gets one folder a series.
        key: The site's secret: only what may be kept is written, under keyed UIDs. "": objects
            are written as they came, patients' names and all.

    Raises:
        ConnectionFailedError: If the PACS is not reached, refuses, has nothing, or sends less
            than it said.
        DataError: If an object is damaged.
        RunStateError: If the folder cannot be written.
    """
    found = list(_find(place, question))
    if not found:
        raise nothing_found(_where(place))
    for series in found:
        yield _one(place, series, folder, key)


def send(files: Sequence[Path], destination: DicomwebPlace | DimsePlace) -> None:
    """Store objects in a PACS.

    Args:
        files: DICOM files; sending one twice is harmless, the PACS knows it by its UID.
        destination: The PACS.

    Raises:
        ConnectionFailedError: If it is not reached, or refuses one of them.
        DataError: If a file is no DICOM object.
    """
    if destination.kind == "dicomweb":
        web.send(destination, files)
    else:
        dimse.send(destination, files)


def count_of(place: DicomwebPlace | DimsePlace, study: str, series: str) -> int | None:
    """Ask how many objects a series has; None if the PACS does not say or is not reached."""
    question = Question((("StudyInstanceUID", study),))
    try:
        found = [one.count for one in _find(place, question) if one.series_uid == series]
    except CrispError:
        return None
    return found[0] if found else None


def _one(place: DicomwebPlace | DimsePlace, series: FoundSeries, folder: Path, key: str) -> Fetched:
    uid = keyed_uid(series.series_uid, key) if key else series.series_uid
    target = folder / _safe(uid)
    if target.exists():
        count = sum(1 for _ in target.iterdir())
        return Fetched(target, series.modality, count, made_now=False)
    part = folder / f".{target.name}{PART}"
    shutil.rmtree(part, ignore_errors=True)
    signs: list[str] = []
    try:
        _fetch(place, series, _keeper(part, series, key, signs))
        count = len(list(part.iterdir())) if part.exists() else 0
        if count == 0 or (series.count is not None and count < series.count):
            raise _incomplete(place, series, count)
        part.rename(target)
    except OSError as error:
        raise _unwritable(folder, error) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Fetched(target, series.modality, count, made_now=True, signs=tuple(dict.fromkeys(signs)))


def _keeper(part: Path, series: FoundSeries, key: str, signs: list[str]) -> Callable[[bytes], None]:
    """Return what files one object under its own name, which is checked, not trusted."""

    def keep(data: bytes) -> None:
        arrived = part / f"arrived{TEMPORARY}"
        write_bytes(arrived, data)
        try:
            name = object_name(arrived)
            if name.series_uid != series.series_uid or _count(part) > MOST_OBJECTS:
                raise _stranger(series)
            if key:
                uid = keyed_uid(name.sop_uid, key)
                signs.extend(write_deidentified(arrived, part / f"{uid}.dcm", key))
            else:
                arrived.rename(part / f"{name.sop_uid}.dcm")
        finally:
            with suppress(OSError):
                arrived.unlink(missing_ok=True)

    return keep


def _count(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir())


def _safe(uid: str) -> str:
    """Return a UID as a folder's name; a PACS that sends anything else sends it in vain."""
    if not uid or not all(
        letter.isascii() and (letter.isdigit() or letter == ".") for letter in uid
    ):
        raise ConnectionFailedError(
            expected="a series with a UID",
            got=repr(uid[:64]),
            where="the answer to a query",
            fix="Look at the PACS: it holds a series without a proper name",
        )
    return uid


def _find(place: DicomwebPlace | DimsePlace, question: Question) -> Iterator[FoundSeries]:
    return web.find(place, question) if place.kind == "dicomweb" else dimse.find(place, question)


def _fetch(
    place: DicomwebPlace | DimsePlace, series: FoundSeries, keep: Callable[[bytes], None]
) -> None:
    if place.kind == "dicomweb":
        web.fetch(place, series, keep)
    else:
        dimse.fetch(place, series, keep)


def _where(place: DicomwebPlace | DimsePlace) -> str:
    return f"{place.kind} {place.host}:{place.port}"


def _incomplete(
    place: DicomwebPlace | DimsePlace, series: FoundSeries, count: int
) -> ConnectionFailedError:
    return ConnectionFailedError(
        expected=f"{series.count or 'at least 1'} objects of series {series.series_uid}",
        got=str(count),
        where=_where(place),
        fix="Fetch again; if it stays so, look at which kinds of objects the PACS may send us",
    )


def _stranger(series: FoundSeries) -> ConnectionFailedError:
    return ConnectionFailedError(
        expected=f"objects of series {series.series_uid}, at most {MOST_OBJECTS}",
        got="another one, or more",
        where="what the PACS sent",
        fix="Look at the PACS: it answers with what was not asked for",
    )


def _unwritable(folder: Path, error: OSError) -> RunStateError:
    return RunStateError(
        expected="a folder that can be written",
        got=error.strerror or "an error of the disk",
        where=str(folder),
        fix="Free space or mend the rights of the folder, then fetch again",
    )
