"""What a data set holds: a table for people, JSON for scripts, a page with a look at each case.

It names cases and shows slices of them, so it stays where the images are.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crisp_core.arrays import FloatArray, IntArray
from crisp_core.report.palette import css, structure_colour
from crisp_core.report.pictures import grey_values, overlay, png
from crisp_core.report.rendering import render

THUMBNAIL_PX = 112


@dataclass(frozen=True)
class DescribedLabel:
    """One number of the masks.

    Attributes:
        number: In the masks.
        names: What it means; empty if the data set does not say.
        case_count: Cases that have it.
        volume_ml: Median over these; None if there is none.
    """

    number: int
    names: tuple[str, ...]
    case_count: int
    volume_ml: float | None


@dataclass(frozen=True)
class DescribedSite:
    """One site: counts, and medians over its cases along D, H, W."""

    site: str
    vendors: tuple[str, ...]
    parts: dict[str, int]
    cases: int
    patients: int
    phases: dict[str, int]
    shape: tuple[float, float, float] | None
    spacing_mm: tuple[float, float, float] | None
    stored_as: dict[str, int]


@dataclass(frozen=True)
class DescribedCase:
    """One case that could be opened, with a slice of it as base64 PNG."""

    case: str
    site: str
    patient: str
    phase: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    labels: tuple[int, ...]
    thumbnail: str


@dataclass(frozen=True)
class Description:
    """Everything that was found in a folder."""

    name: str
    layout: str
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    """What a study of this data set could name; empty where the masks have numbers only."""
    sites: tuple[DescribedSite, ...]
    labels: tuple[DescribedLabel, ...]
    remarks: tuple[str, ...]
    oddities: tuple[str, ...]
    errors: tuple[str, ...]
    cases: tuple[DescribedCase, ...]

    @property
    def patient_count(self) -> int:
        """Patients of all sites; one who is at two sites counts twice."""
        return sum(site.patients for site in self.sites)

    @property
    def case_count(self) -> int:
        """Cases that are whole, opened or not."""
        return sum(site.cases for site in self.sites)


def write_description(description: Description, path: Path) -> Path:
    """Write the page; it needs no other file and no network."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(description_page(description), encoding="utf-8")
    return path


def description_page(description: Description) -> str:
    """Return the page as HTML."""
    numbers = [label.number for label in description.labels]
    return render(
        "describe.html",
        found=description,
        colours={number: css(structure_colour(i)) for i, number in enumerate(numbers)},
        by_site={
            site.site: [case for case in description.cases if case.site == site.site]
            for site in description.sites
        },
    )


def thumbnail(image: FloatArray, labels: IntArray, numbers: Sequence[int]) -> str:
    """Draw the slice with the largest labelled area, tinted by label.

    Args:
        image: One channel (D, H, W).
        labels: (D, H, W), in the numbers of the masks.
        numbers: Every number of the data set; its place in this list is its colour.

    Returns:
        Base64 PNG of at most `THUMBNAIL_PX` pixels a side.
    """
    areas = (labels > 0).sum(axis=(1, 2))
    place = int(areas.argmax()) if areas.any() else len(labels) // 2
    step = -(-max(image.shape[1:]) // THUMBNAIL_PX)
    grey = grey_values(image[place, ::step, ::step])
    mask = labels[place, ::step, ::step]
    return base64.b64encode(
        png(overlay(grey, [mask == number for number in numbers], None))
    ).decode()


def described_label(
    number: int, names: tuple[str, ...], volumes_ml: Sequence[float]
) -> DescribedLabel:
    """Summarise one label over the cases that have it."""
    middle = float(np.median(volumes_ml)) if volumes_ml else None
    return DescribedLabel(number, names, len(volumes_ml), middle)
