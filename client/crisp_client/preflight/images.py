"""Every case of this site, opened and measured: what is wrong with one, and what is odd."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from crisp_client.connection import Finding
from crisp_client.survey import SurveyedCase, is_unlike, survey_case
from crisp_core.errors import DataError
from crisp_core.files.cohort import Case
from crisp_core.files.layouts.reading import in_study_numbers, survey_place
from crisp_core.schema.description import Level
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.study import Study

BRIGHTER = 20.0
LABEL_BYTES, IMAGE_BYTES = 1, 4


@dataclass
class Watched:
    """What is looked at, who is told how far it is, and what it will take on disk."""

    settings: SiteSettings
    study: Study | None
    on_case: Callable[[int, int], None]
    cache_bytes: int = field(default=0, init=False)


@dataclass(frozen=True)
class Opened:
    """One case that can be used."""

    folder: Path
    case: Case
    measured: SurveyedCase


def look_at_cases(watched: Watched) -> Iterator[Finding]:
    """Open every case and yield what is wrong, then what is odd, then what they are."""
    flaws: list[str] = []
    cases: list[tuple[Path, Case]] = []
    for place in watched.settings.places:
        data, found = survey_place(place, follow_links=watched.settings.follow_links)
        whole = in_study_numbers(data, watched.study.classes) if watched.study else data.cases
        cases += [(Path(place.folder), case) for case in whole]
        flaws += [str(flaw.error) for flaw in found]
    yield from (Finding("error", "folder", text.rstrip(".")) for text in flaws)
    opened, unreadable = _opened(watched, cases)
    allowed = watched.settings.unreadable_share * len(cases)
    level: Level = "error" if len(unreadable) > allowed else "warning"
    yield from (Finding(level, "case", text.rstrip(".")) for text in unreadable)
    if unreadable:
        share = f"unreadable_share allows {watched.settings.unreadable_share:.1%}"
        sentence = f"{len(unreadable)} of {len(cases)} cases cannot be used; {share}"
        yield Finding(level, "cases", sentence, "Mend them, or raise it in site.toml")
    watched.cache_bytes = sum(_bytes(one.measured, watched.study) for one in opened)
    if opened:
        yield from _oddities(opened)
        yield _summary(opened, watched.study)


def _opened(watched: Watched, cases: list[tuple[Path, Case]]) -> tuple[list[Opened], list[str]]:
    class_count = len(watched.study.classes) if watched.study else None
    opened, unreadable = [], []
    for number, (folder, case) in enumerate(cases, start=1):
        try:
            opened.append(Opened(folder, case, survey_case(case, class_count)))
        except DataError as error:
            unreadable.append(str(error))
        watched.on_case(number, len(cases))
    return opened, unreadable


def _bytes(measured: SurveyedCase, study: Study | None) -> int:
    """Estimate what a case takes when it is prepared."""
    depth, height, width = measured.shape
    if study is not None:
        height, width = study.images.size
    channels = len(measured.profile.percentiles)
    return prod((depth, height, width)) * (channels * IMAGE_BYTES + LABEL_BYTES)


def _oddities(opened: list[Opened]) -> Iterator[Finding]:
    yield from empty_masks(opened)
    yield from doubles(opened)
    yield from strangers(opened)


def empty_masks(opened: list[Opened]) -> Iterator[Finding]:
    """Name the cases in which nothing is labelled."""
    for one in opened:
        if not one.measured.profile.structures:
            sentence = f"the mask of {one.case.case_id!r} is empty"
            yield Finding("warning", "mask", sentence, "Label it, or take the case out")


def doubles(opened: list[Opened]) -> Iterator[Finding]:
    """Find one image under two names, and one patient in two folders."""
    names, folders = defaultdict[str, list[str]](list), defaultdict[str, set[str]](set)
    for one in opened:
        names[one.measured.image_hash].append(one.case.case_id)
        folders[one.case.patient_id].add(str(one.folder))
    for same in names.values():
        if len(same) > 1:
            sentence = f"{' and '.join(map(repr, same))} hold the same image"
            fix = "Take one out, or give both the same patient in cases.csv"
            yield Finding("warning", "duplicate", sentence, fix)
    for patient, places in folders.items():
        if len(places) > 1:
            sentence = f"patient {patient!r} is in {' and '.join(sorted(places))}"
            fix = "That is one patient to the splits; rename one if they are two people"
            yield Finding("warning", "duplicate", sentence, fix)


def strangers(opened: list[Opened]) -> Iterator[Finding]:
    """Name the cases that are far from this site's own median."""
    spacing = np.median([one.measured.spacing_mm for one in opened], axis=0)
    ranges = [_range(one.measured) for one in opened]
    usual = float(np.median(ranges))
    for one, wide in zip(opened, ranges, strict=True):
        if is_unlike(spacing.tolist(), one.measured.spacing_mm):
            said, median = (_mm(mm) for mm in (one.measured.spacing_mm, spacing))
            sentence = (
                f"{one.case.case_id!r} has voxels of {said} mm, this site's median is {median}"
            )
            fix = "Compare with the scanner; correct a wrong one as spacing_mm in cases.csv"
            yield Finding("warning", "spacing", sentence, fix)
        if max(wide, usual) > BRIGHTER * min(wide, usual):
            sentence = (
                f"{one.case.case_id!r} spans {wide:.4g} in intensity, the median is {usual:.4g}"
            )
            fix = "Look at the image: its slope, intercept or kind may differ"
            yield Finding("warning", "intensity", sentence, fix)


def _range(measured: SurveyedCase) -> float:
    low, _, high = measured.profile.percentiles[0]
    return max(high - low, float(np.finfo(np.float32).tiny))


def _mm(spacing_mm: Iterable[float]) -> str:
    return " x ".join(f"{mm:.3g}" for mm in spacing_mm)


def _summary(opened: list[Opened], study: Study | None) -> Finding:
    measured = [one.measured for one in opened]
    codes = Counter(one.orientation for one in measured)
    spacing = _mm(tuple(np.median([one.spacing_mm for one in measured], axis=0)))
    labels = Counter(label for one in measured for label in one.profile.structures)
    names = dict(enumerate(study.classes, start=1)) if study else {}
    having = ", ".join(
        f"{names.get(label, f'label {label}')} in {count}"
        for label, count in sorted(labels.items())
    )
    stored = ", ".join(f"{code} {count}" for code, count in sorted(codes.items()))
    sentence = (
        f"{len(opened)} cases can be used; median voxel {spacing} mm; stored as {stored}; {having}"
    )
    return Finding("ok", "data", sentence)
