"""What a folder of images is: its layout, then every case opened and looked at."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crisp_client.connection import Finding
from crisp_client.preflight.images import Opened, doubles, empty_masks, strangers
from crisp_client.survey import measured
from crisp_core.errors import DataError
from crisp_core.files.cohort import Case
from crisp_core.files.examine import open_case
from crisp_core.files.layouts.house_writer import own_classes
from crisp_core.files.layouts.layout import DataSet
from crisp_core.files.layouts.reading import survey_place
from crisp_core.report.describe import (
    DescribedCase,
    DescribedLabel,
    DescribedSite,
    Description,
    described_label,
    thumbnail,
)
from crisp_core.schema.places import Place

LOST_SPACING_MM = (1.0, 1.0, 1.0)
OnCase = Callable[[int, int], None]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class _Look:
    """A case that was opened and its picture."""

    opened: Opened
    picture: str


def describe(place: Place, on_case: OnCase) -> Description:
    """Open every case of a place once and say what it is.

    Args:
        place: A folder; its layout may be "auto".
        on_case: Is told after each case how many are done, of how many.

    Raises:
        DataError: If the folder has no layout that is known.
    """
    if place.layout == "house":
        place = replace(place, layout="auto")  # which also finds a folder of several sites
    data, flaws = survey_place(place, follow_links=True)  # nothing is sent: links may lead out
    looks, unreadable = _looks(data, Path(place.folder), on_case)
    opened = [look.opened for look in looks]
    sites = sorted({case.site for case in data.cases})
    return Description(
        name=Path(place.folder).resolve().name,
        layout=data.layout,
        channels=data.channels,
        classes=own_classes(data),
        sites=tuple(_site(site, data.cases, opened) for site in sites),
        labels=tuple(_labels(data, opened)),
        remarks=data.remarks,
        oddities=tuple(_oddities(opened)),
        errors=(*(str(flaw.error) for flaw in flaws), *unreadable),
        cases=tuple(map(_described, looks)),
    )


def _looks(data: DataSet, folder: Path, on_case: OnCase) -> tuple[list[_Look], list[str]]:
    looks, unreadable = [], []
    numbers = sorted(data.meanings or range(1, 8))
    own = None if data.meanings is None else tuple((n, n) for n in (0, *sorted(data.meanings)))
    for count, case in enumerate(data.cases, start=1):
        try:
            looks.append(_look(replace(case, numbering=own), folder, numbers))
        except DataError as error:
            unreadable.append(str(error))
        on_case(count, len(data.cases))
    return looks, unreadable


def _look(case: Case, folder: Path, numbers: Sequence[int]) -> _Look:
    image, labels = open_case(case)
    opened = Opened(folder, case, measured(case, image, labels))
    return _Look(opened, thumbnail(image.array[0], labels.array, numbers))


def _described(look: _Look) -> DescribedCase:
    case, found = look.opened.case, look.opened.measured
    return DescribedCase(
        case=case.case_id,
        site=case.site,
        patient=case.patient_id,
        phase=case.phase,
        shape=found.shape,
        spacing_mm=found.spacing_mm,
        labels=tuple(sorted(found.profile.structures)),
        thumbnail=look.picture,
    )


def _site(site: str, cases: Sequence[Case], opened: Sequence[Opened]) -> DescribedSite:
    own = [case for case in cases if case.site == site]
    found = [one.measured for one in opened if one.case.site == site]
    return DescribedSite(
        site=site,
        vendors=tuple(sorted({case.vendor for case in own} - {""})),
        parts=_counts(case.part or (case.split or "") for case in own),
        cases=len(own),
        patients=len({case.patient_id for case in own}),
        phases=_counts(case.phase for case in own),
        shape=_medians([one.shape for one in found]),
        spacing_mm=_medians([one.spacing_mm for one in found]),
        stored_as=_counts(one.orientation for one in found),
    )


def _counts(words: Iterator[str]) -> dict[str, int]:
    return dict(sorted(Counter(word for word in words if word).items()))


def _medians(rows: Sequence[Sequence[float]]) -> Triple | None:
    if not rows:
        return None
    first, second, third = np.median(np.asarray(rows, float), axis=0).tolist()
    return first, second, third


def _labels(data: DataSet, opened: Sequence[Opened]) -> Iterator[DescribedLabel]:
    volumes = defaultdict[int, list[float]](list)
    for one in opened:
        for number, structure in one.measured.profile.structures.items():
            volumes[number].append(structure.volume_ml)
    known = data.meanings or {}
    for number in sorted({*volumes, *known}):
        yield described_label(number, known.get(number, ()), volumes[number])


def _oddities(opened: list[Opened]) -> Iterator[str]:
    """Compare each case with those of its own site, and every image with every other."""
    found = [*empty_masks(opened), *doubles(opened)]
    for site in sorted({one.case.site for one in opened}):
        own = [one for one in opened if one.case.site == site]
        found += [*_lost_spacing(site, own), *strangers(own)]
    return (f"{finding.sentence}. {finding.fix}." for finding in found)


def _lost_spacing(site: str, own: Sequence[Opened]) -> Iterator[Finding]:
    if all(one.measured.spacing_mm == LOST_SPACING_MM for one in own):
        sentence = f"every voxel of {site!r} is 1 x 1 x 1 mm: the files may have lost their spacing"
        fix = "Look up the true spacing; cases.csv can hold it as spacing_mm"
        yield Finding("warning", "spacing", sentence, fix)
