"""A site's places as one cohort in the study's numbers, whatever their layouts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from crisp_core.errors import DataError
from crisp_core.files.cohort import Case, Cohort, Flaw, divided, survey
from crisp_core.files.layouts.layout import DataSet, leading_out
from crisp_core.files.layouts.registry import read_data_set
from crisp_core.files.layouts.select import selected
from crisp_core.files.meanings import numbering_of
from crisp_core.schema.places import Place


def read_places(
    places: Sequence[Place], site: str, classes: Sequence[str], *, follow_links: bool = False
) -> Cohort:
    """Read several places as one cohort; no image is opened.

    A case whose name is in two places gets its folder's name in front. A patient in two places is
    one patient: cases of one person must never be on both sides of a split.

    Args:
        places: Folders with their layouts and conditions.
        site: Whose they are.
        classes: Of the study, in the order of its numbers 1, 2, …
        follow_links: Whether their files may lie elsewhere.

    Raises:
        DataError: The first thing that is wrong with them.
    """
    parts = [_of_place(place, classes, follow_links=follow_links) for place in places]
    counts = Counter(case.case_id for cases in parts for case in cases)
    joined = [
        replace(case, case_id=f"{Path(place.folder).name}.{case.case_id}")
        if counts[case.case_id] > 1
        else case
        for place, cases in zip(places, parts, strict=True)
        for case in cases
    ]
    for name, count in Counter(case.case_id for case in joined).items():
        if count > 1:
            fix = "Rename one of the folders"
            where = f"case {name!r}"
            raise DataError(expected=f"one case {name!r}", got=f"{count}", where=where, fix=fix)
    for flaw in divided(joined):
        raise flaw.error
    return Cohort(site, tuple(sorted(joined, key=lambda case: case.case_id)), len(classes))


def survey_place(place: Place, *, follow_links: bool = False) -> tuple[DataSet, tuple[Flaw, ...]]:
    """List what a place has and everything that is wrong with it, in the data set's own numbers."""
    folder = Path(place.folder)
    if place.layout == "house":
        cases, flaws = survey(folder, follow_links=follow_links)
        return DataSet("house", selected(cases, place.select)), flaws
    data = read_data_set(folder, place.layout)
    data = replace(data, cases=selected(data.cases, place.select))
    links = () if follow_links else tuple(leading_out(folder, data.cases))
    return data, (*data.flaws, *links)


def in_study_numbers(data: DataSet, classes: Sequence[str]) -> tuple[Case, ...]:
    """Let every case's mask be read in the numbers of a study.

    Raises:
        DataError: If the data set does not know a class, or two classes share a label.
    """
    if data.meanings is None:
        return data.cases
    numbering = numbering_of(data.meanings, classes, f"layout {data.layout}")
    return tuple(replace(case, numbering=numbering) for case in data.cases)


def _of_place(place: Place, classes: Sequence[str], *, follow_links: bool) -> tuple[Case, ...]:
    data, flaws = survey_place(place, follow_links=follow_links)
    if flaws:
        raise flaws[0].error
    if not data.cases:
        said = f"{place.layout} with {', '.join(place.select)}" if place.select else place.layout
        fix = "Correct the conditions, or name another folder"
        raise DataError(expected="at least one case", got="none", where=said, fix=fix)
    return in_study_numbers(data, classes)
