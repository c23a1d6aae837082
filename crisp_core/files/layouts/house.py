"""The house format: a site's folder, or a folder of several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from crisp_core.files.cohort import Case, Flaw, survey
from crisp_core.files.layouts.layout import DataSet, Layout, folders


def read_house(folder: Path) -> DataSet:
    """List the cases of a site's folder, or of every site's folder in it.

    Names of cases that two sites share get the site's in front.
    """
    sites = [folder] if _is_site(folder) else [p for p in folders(folder) if _is_site(p)]
    cases: list[Case] = []
    flaws: list[Flaw] = []
    for place in sites:
        own, wrong = survey(place, follow_links=True)  # who reads the data set looks at links
        cases += [replace(case, site=place.resolve().name) for case in own]
        flaws += wrong
    names = [case.case_id for case in cases]
    if len(set(names)) < len(names):
        cases = [replace(case, case_id=f"{case.site}.{case.case_id}") for case in cases]
    cases.sort(key=lambda case: case.case_id)
    return DataSet("house", tuple(cases), None, tuple(flaws))


def _is_site(folder: Path) -> bool:
    return (folder / "images").is_dir() and (folder / "labels").is_dir()


LAYOUT = Layout(
    "house",
    "images/ and labels/, in the folder or in each of its folders",
    lambda folder: _is_site(folder) or any(_is_site(place) for place in folders(folder)),
    read_house,
)
