"""One prediction on one page: pictures, volumes, how sure it is, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import BoolArray, FloatArray, IntArray
from crisp_core.report.palette import Colour, structure_colour
from crisp_core.report.pictures import Picture, enlarge, grey_values, overlay

COLUMNS = ("image", "answer", "core", "support", "uncertainty")
MOST_ROWS = 3
LEGEND = (
    "core: where every perturbed copy of the network is surest",
    "support: wherever one of them sees a trace",
    "uncertainty: orange where every class is equally likely",
)
UNSURE: Colour = (255, 140, 0)
FLAGS: Mapping[str, tuple[Colour, str]] = {
    "accept": ((0, 120, 85), "ACCEPT: nothing in the answer speaks against it"),
    "review": ((175, 110, 0), "REVIEW: a person must look at this answer"),
    "reject": ((170, 40, 20), "REJECT: do not use this answer"),
    "": ((85, 85, 85), "NO FLAG: this model has no rule that tells sure answers from others"),
}
"""Decision -> colour and words."""


@dataclass(frozen=True)
class Views:
    """One slice as five pictures (H, W, 3), in the order of `COLUMNS`."""

    number: int
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Row:
    """One structure's line of the table, ready to be printed."""

    colour: Colour
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """Everything on the page.

    Attributes:
        case: Its name.
        facts: Lines about image and model.
        decision: "accept", "review", "reject", or "" without a flag.
        reasons: Sentences.
        slices: From the first slice to the last.
        height_per_width: Of a slice in the patient, where pixels are not square.
        header: Of the table.
        rows: Of the table.
        limits: What the page is not for.
    """

    case: str
    facts: tuple[str, ...]
    decision: str
    reasons: tuple[str, ...]
    slices: tuple[Views, ...]
    height_per_width: float
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    limits: str


def shown_slices(labels: IntArray, count: int = MOST_ROWS) -> list[int]:
    """Choose slices to show: evenly over those with an answer, over all if there is none.

    Examples:
        >>> found = np.zeros((9, 2, 2), np.uint8)
        >>> found[2:7, 0, 0] = 1
        >>> shown_slices(found)
        [2, 4, 6]
    """
    filled = np.flatnonzero(labels.any(axis=(1, 2)))
    places = filled if len(filled) else np.arange(len(labels))
    if len(places) <= count:
        return [int(place) for place in places]
    inner = np.linspace(0, len(places) - 1, count)
    return [int(places[round(at)]) for at in inner]


def views_of(
    number: int,
    image: FloatArray,
    labels: IntArray,
    masks: tuple[BoolArray, BoolArray],
    uncertainty: FloatArray,
) -> Views:
    """Draw one slice five times.

    Args:
        number: Of the slice, from 1.
        image: Grey values (H, W).
        labels: (H, W), 0 is background.
        masks: Core and support, (C, H, W) each.
        uncertainty: (H, W), 0 certain to 1.
    """
    grey = enlarge(grey_values(image))
    core, support = masks
    found: Sequence[BoolArray] = [labels == index + 1 for index in range(len(core))]
    tinted = [
        overlay(grey, [enlarge(mask) for mask in layers], None)
        for layers in ((), found, list(core), list(support))
    ]
    return Views(number, (*tinted, heated(grey, enlarge(uncertainty))))


def heated(grey: Picture, share: FloatArray) -> Picture:
    """Let a grey picture (H, W) glow where `share` (H, W) is high; returns (H, W, 3)."""
    strength = np.clip(share, 0, 1)[..., None]
    dimmed = 0.6 * np.repeat(grey[..., None], 3, axis=-1)
    glowing = (1 - strength) * dimmed + strength * np.array(UNSURE, np.float64)
    return np.rint(glowing).astype(np.uint8)


def table_rows(volumes: Mapping[str, tuple[float, float, float]]) -> tuple[Row, ...]:
    """Print volume, core and support in ml, by structure."""
    return tuple(
        Row(structure_colour(index), (name, *(f"{ml:.1f}" for ml in numbers)))
        for index, (name, numbers) in enumerate(volumes.items())
    )
