"""Which series are in a folder, and which one is meant."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crisp_core.files.dicom.frames import IMAGES
from crisp_core.files.dicom.opening import dicom_files, read_header
from crisp_core.files.dicom.refusal import refused
from crisp_core.files.dicom.values import Attributes

FOLDER = "the folder"


@dataclass(frozen=True)
class SeriesEntry:
    """One series in a folder: what a person needs to choose it.

    Attributes:
        series_uid: Its name among all series in the world.
        study_uid: Of the study that it belongs to.
        sop_class_uid: What kind of objects it holds; the first file's.
        modality: Such as "MR".
        files: Its files, in the order of their names.
    """

    series_uid: str
    study_uid: str
    sop_class_uid: str
    modality: str
    files: tuple[Path, ...]

    @property
    def is_image(self) -> bool:
        """Tell whether it holds images that are read here."""
        return self.sop_class_uid in IMAGES


def list_series(source: Path | Iterable[Path]) -> tuple[SeriesEntry, ...]:
    """List the series of a folder, or of files, in the order of their first file.

    Raises:
        DataError: If there is no DICOM file, or one cannot be read.
    """
    found = defaultdict[str, list[tuple[Path, Attributes]]](list)
    for path in dicom_files(source):
        header = read_header(path)
        found[header.uid("SeriesInstanceUID")].append((path, header))
    return tuple(_entry(uid, members) for uid, members in found.items())


def chosen(entries: Sequence[SeriesEntry], series_uid: str | None) -> SeriesEntry:
    """Return the series that was named, or the only one of images.

    Raises:
        DataError: If it is not there, holds no images, or is one of several.
    """
    images = [entry for entry in entries if entry.is_image]
    if series_uid is not None:
        images = [entry for entry in entries if entry.series_uid == series_uid]
    if not images:
        kinds = Counter(entry.modality or "?" for entry in entries)
        got = ", ".join(f"{count} of {kind}" for kind, count in sorted(kinds.items()))
        wanted = f"series {series_uid}" if series_uid else "a series of CT or MR images"
        raise refused(FOLDER, wanted, got or "none", "Name a folder that holds it")
    if len(images) > 1:
        got = "; ".join(
            f"{entry.series_uid} ({entry.modality}, {len(entry.files)} files)" for entry in images
        )
        raise refused(FOLDER, "one series of images", got, "Name one of them")
    if not images[0].is_image:
        got = f"{images[0].modality}, class {images[0].sop_class_uid}"
        where = f"series {series_uid}"
        raise refused(where, "a series of CT or MR images", got, "Name another")
    return images[0]


def _entry(uid: str, members: Sequence[tuple[Path, Attributes]]) -> SeriesEntry:
    first = members[0][1]
    classes = {header.uid("SOPClassUID") for _, header in members}
    studies = {header.uid("StudyInstanceUID") for _, header in members}
    if len(classes) > 1 or len(studies) > 1:
        got = f"{len(classes)} classes in {len(studies)} studies"
        where = f"series {uid}"
        raise refused(where, "one kind of object from one study", got)
    return SeriesEntry(
        series_uid=uid,
        study_uid=studies.pop(),
        sop_class_uid=classes.pop(),
        modality=first.text("Modality", 16).strip(),
        files=tuple(path for path, _ in members),
    )
