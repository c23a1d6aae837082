"""Prostate MRI of six sites: a folder a site, images and masks side by side.

    RUNMC/Case00.nii.gz   RUNMC/Case00_segmentation.nii.gz
    BMC/Case00.nii.gz     BMC/Case00_Segmentation.nii.gz       a capital in this site's names

Masks of two sites tell central gland (1) from peripheral zone (2), the others do not: both are
prostate. `Case00` of two sites are two people.

Source:
    Liu et al., "Shape-aware Meta-learning for Generalizing Prostate MRI Segmentation to Unseen
    Domains", MICCAI 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from crisp_core.files.cohort import Case
from crisp_core.files.layouts.layout import DataSet, Layout, collected, fault, folders, volumes

MEANINGS = {1: ("prostate",), 2: ("prostate",)}
CASES = {"RUNMC": 30, "BMC": 30, "I2CVB": 19, "UCL": 13, "BIDMC": 12, "HK": 12}
"""As published."""
VENDORS = {
    "RUNMC": "Siemens",
    "BMC": "Philips",
    "I2CVB": "Siemens",
    "UCL": "Siemens",
    "BIDMC": "GE",
    "HK": "Siemens",
}
MASK = "_segmentation"


def read_prostate(folder: Path) -> DataSet:
    """List every case of the sites that are there.

    Args:
        folder: What holds the six folders.
    """
    cases, flaws = collected(
        (f"{site.name}-{name}", partial(_case, site, name))
        for site in _sites(folder)
        for name in _names(site)
    )
    return DataSet("prostate", cases, MEANINGS, flaws, tuple(_remarks(cases)), ("T2w",))


def _sites(folder: Path) -> list[Path]:
    return [place for place in folders(folder) if place.name in CASES]


def _names(site: Path) -> list[str]:
    """List the cases of a site by their images or, where one is missing, by their masks."""
    names = (name[: -len(MASK)] if _is_mask(name) else name for name in volumes(site))
    return list(dict.fromkeys(names))


def _is_mask(name: str) -> bool:
    return name.lower().endswith(MASK)


def _case(site: Path, name: str) -> Iterator[Case]:
    files = volumes(site)
    masks = [file for own, file in files.items() if own.lower() == f"{name}{MASK}".lower()]
    case_id = f"{site.name}-{name}"
    if name not in files:
        raise fault(case_id, f"an image {name}.nii.gz", "none", "Add it, or take the mask out")
    if len(masks) != 1:
        got = "none" if not masks else " and ".join(path.name for path in masks)
        raise fault(case_id, f"one mask {name}{MASK}.nii.gz", got, "Keep one mask a case")
    yield Case(
        case_id=case_id,
        patient_id=case_id,
        images=(files[name],),
        label=masks[0],
        site=site.name,
        vendor=VENDORS[site.name],
    )


def _remarks(cases: tuple[Case, ...]) -> Iterator[str]:
    for site, published in CASES.items():
        count = sum(case.site == site for case in cases)
        if count != published:
            yield f"{site} has {count} cases; {published} were published"


def _matches(folder: Path) -> bool:
    return any(_is_mask(name) for site in _sites(folder) for name in volumes(site))


LAYOUT = Layout(
    "prostate",
    f"folders {', '.join(CASES)} with CaseNN.nii.gz and CaseNN{MASK}.nii.gz",
    _matches,
    read_prostate,
)
