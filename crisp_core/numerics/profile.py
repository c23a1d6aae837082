"""What a labelled volume looks like in a dozen numbers, enough to tell its structures apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import AnyArray, BoolArray, FloatArray, IntArray

PERCENTILES = (1.0, 50.0, 99.0)
SAMPLE = 1_000_000
"""Voxels that percentiles are taken from: every n-th, so that a large volume takes no longer."""
MM3_PER_ML = 1000.0
SPACE = 3

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Structure:
    """One structure of one volume.

    Attributes:
        volume_ml: Its volume.
        background_share: Share of its surface that touches background; 0 to 1.
        offset: From the foreground's centroid to its own along D, H, W, over the foreground's
            root-mean-square radius.
        intensity: Its mean in each channel, where percentile 1 is -1 and percentile 99 is 1.
    """

    volume_ml: float
    background_share: float
    offset: Triple
    intensity: tuple[float, ...]


@dataclass(frozen=True)
class Profile:
    """One labelled volume.

    Attributes:
        percentiles: Percentiles 1, 50 and 99 of each channel, in the file's own units.
        whole_numbers: Whether every intensity is an integer.
        spread_mm: Root-mean-square distance of the foreground from its centroid along D, H, W;
            None where nothing is labelled.
        structures: By label number; those that are there.
    """

    percentiles: tuple[Triple, ...]
    whole_numbers: bool
    spread_mm: Triple | None
    structures: Mapping[int, Structure]


def profile_of(image: FloatArray, labels: IntArray, spacing_mm: Triple) -> Profile:
    """Measure one volume.

    Args:
        image: (C, D, H, W), any unit, finite.
        labels: (D, H, W), 0 is background.
        spacing_mm: Along D, H, W.
    """
    sample = image[:, *_thinned(labels.shape)]
    low_mid_high = np.percentile(sample.reshape(len(image), -1), PERCENTILES, axis=1).T
    percentiles = tuple(_triple(row) for row in low_mid_high)
    whole = bool((sample == np.rint(sample)).all())
    box = _box(labels)
    if box is None:
        return Profile(percentiles, whole, None, {})
    inside, spacing = labels[box], np.array(spacing_mm)
    middle, spread = _moments(inside > 0, spacing)
    radius = float(np.linalg.norm(spread)) or float(np.linalg.norm(spacing))
    touching, surface = _surfaces(inside, spacing)
    structures = {}
    for number in (int(label) for label in np.unique(inside) if label > 0):
        mask = inside == number
        structures[number] = Structure(
            volume_ml=float(mask.sum() * spacing.prod() / MM3_PER_ML),
            background_share=float(touching[number] / (surface[number] or 1.0)),
            offset=_triple((_moments(mask, spacing)[0] - middle) / radius),
            intensity=tuple(
                _scaled(float(channel[box][mask].mean(dtype=np.float64)), ends)
                for channel, ends in zip(image, percentiles, strict=True)
            ),
        )
    return Profile(percentiles, whole, _triple(spread), structures)


def _moments(mask: BoolArray, spacing_mm: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Return mean and standard deviation in millimetres of the places that are set, by axis."""
    means, deviations = np.zeros(SPACE), np.zeros(SPACE)
    for axis in range(SPACE):
        counts = mask.sum(axis=tuple(other for other in range(SPACE) if other != axis))
        places = np.arange(len(counts)) * spacing_mm[axis]
        means[axis] = np.average(places, weights=counts)
        deviations[axis] = np.sqrt(np.average((places - means[axis]) ** 2, weights=counts))
    return means, deviations


def _triple(values: AnyArray) -> Triple:
    first, second, third = (float(value) for value in values)
    return first, second, third


def _thinned(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Take every n-th row and column, so that about `SAMPLE` voxels are left."""
    step = max(1, int(np.sqrt(np.prod(shape) / SAMPLE)))
    return slice(None), slice(None, None, step), slice(None, None, step)


def _box(labels: IntArray) -> tuple[slice, ...] | None:
    """Return the smallest box around all labels, with one voxel of margin where there is one."""
    sides = []
    for axis in range(SPACE):
        rest = tuple(other for other in range(SPACE) if other != axis)
        places = np.flatnonzero(labels.any(axis=rest))
        if not len(places):
            return None
        sides.append(slice(max(0, int(places[0]) - 1), int(places[-1]) + 2))
    return tuple(sides)


def _surfaces(labels: IntArray, spacing_mm: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Return per label the area in mm² that touches background, and that touches another label."""
    count = int(labels.max()) + 1
    touching, whole = np.zeros(count), np.zeros(count)
    for axis in range(SPACE):
        area = spacing_mm.prod() / spacing_mm[axis]
        ahead = np.moveaxis(labels, axis, 0)
        one, other = ahead[:-1], ahead[1:]
        differ = one != other
        for here, there in ((one[differ], other[differ]), (other[differ], one[differ])):
            whole += area * np.bincount(here, minlength=count)
            touching += area * np.bincount(here[there == 0], minlength=count)
    return touching, whole


def _scaled(value: float, percentiles: Triple) -> float:
    low, _, high = percentiles
    return 2 * (value - low) / ((high - low) or 1.0) - 1
