"""Whether two hospitals mean the same by their labels and by their axes, told from figures alone.

Each hospital's structures are points: log volume, share of the surface at the background, place in
the foreground, brightness. If the points of two hospitals fit far better after labels are exchanged
or axes are turned, then labels are exchanged or axes are turned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from scipy.optimize import (  # type: ignore[import-untyped]  # scipy ships no types
    linear_sum_assignment,
)

from crisp_core.arrays import FloatArray

UPRIGHT = (1, 2, 3)
MARGIN = 12.0
"""Squared standard deviations by which an exchange must fit better, each for itself."""
TURNED = 3.0
"""More for each axis that is exchanged or reversed: the simplest of several answers wins."""
CLEARLY = 0.5
"""And the misfit that is left must be at most this share of the misfit as labelled."""
BETWEEN_SITES = {"volume": 0.5, "share": 0.1, "offset": 0.15, "intensity": 0.5, "spread": 0.3}
"""Standard deviations that other scanners and other patients explain, however many there are."""
BETWEEN_PATIENTS = {"volume": 0.8, "share": 0.1, "offset": 0.2, "intensity": 0.25, "spread": 0.25}


@dataclass(frozen=True)
class Look:
    """What one hospital's structures look like; C structures, M image channels.

    Attributes:
        patients: (C,) how many stand behind the figures.
        volume: (C,) logarithm of the volume in millilitres.
        share: (C,) of the surface that touches background.
        offset: (C, 3) from the foreground's centroid along D, H, W, in radii.
        intensity: (C, M) between -1 and 1.
        spread: (3,) logarithm of the foreground's spread in millimetres along D, H, W.
    """

    patients: FloatArray
    volume: FloatArray
    share: FloatArray
    offset: FloatArray
    intensity: FloatArray
    spread: FloatArray


@dataclass(frozen=True)
class Reading:
    """How one hospital's labels and axes have to be read to be another's.

    Attributes:
        order: What the one calls structure c is what the other calls `order[c]`.
        axes: The other's axes D, H, W as numbers 1, 2, 3 of the one's; negative where reversed.
    """

    order: tuple[int, ...]
    axes: tuple[int, ...]

    @property
    def same_labels(self) -> bool:
        """Both mean the same by every label."""
        return self.order == tuple(range(len(self.order)))

    @property
    def same_axes(self) -> bool:
        """Both mean the same by every axis."""
        return self.axes == UPRIGHT


def best_reading(one: Look, other: Look) -> Reading:
    """Find how `one` has to be read; as it is unless something else fits far better.

    Args:
        one: A hospital, of the same structures and channels as `other`.
        other: The hospital to compare it with.
    """
    same = tuple(range(len(one.patients)))
    as_is = _misfit(one, other, UPRIGHT, same)
    found, least = Reading(same, UPRIGHT), as_is
    for axes in _turns():
        costs = _costs(one, other, axes)
        best = tuple(int(place) for place in linear_sum_assignment(costs)[1])
        for order in dict.fromkeys((same, best)):
            reading = Reading(order, axes)
            misfit = _misfit(one, other, axes, order)
            if misfit <= CLEARLY * as_is and misfit + _penalty(reading) < least:
                found, least = reading, misfit + _penalty(reading)
    return found


def _penalty(reading: Reading) -> float:
    """Count what a reading must gain before it is believed."""
    turned = sum(axis != upright for axis, upright in zip(reading.axes, UPRIGHT, strict=True))
    changes = (not reading.same_labels) + (not reading.same_axes)
    return MARGIN * changes + TURNED * turned


def _turns() -> Iterator[tuple[int, ...]]:
    """Yield the 48 ways to permute and reverse three axes."""
    for axes, signs in product(permutations(UPRIGHT), product((1, -1), repeat=len(UPRIGHT))):
        yield tuple(axis * sign for axis, sign in zip(axes, signs, strict=True))


def _misfit(one: Look, other: Look, axes: tuple[int, ...], order: tuple[int, ...]) -> float:
    costs = _costs(one, other, axes)
    places = np.abs(axes) - 1
    variance = _variance("spread", one.patients.max(), other.patients.max())
    spread = ((one.spread[places] - other.spread) ** 2 / variance).sum()
    return float(costs[range(len(order)), order].sum() + spread)


def _costs(one: Look, other: Look, axes: tuple[int, ...]) -> FloatArray:
    """Return (C, C): squared standard deviations between one's structures and the other's."""
    turned = one.offset[:, np.abs(axes) - 1] * np.sign(axes)
    channels = max(1, one.intensity.shape[-1])
    apart = {
        "volume": (one.volume[:, None] - other.volume) ** 2,
        "share": (one.share[:, None] - other.share) ** 2,
        "offset": ((turned[:, None] - other.offset) ** 2).sum(axis=-1),
        "intensity": ((one.intensity[:, None] - other.intensity) ** 2).sum(axis=-1) / channels,
    }
    costs = np.zeros((len(one.patients), len(other.patients)))
    for name, squares in apart.items():
        costs += squares / _variance(name, one.patients[:, None], other.patients)
    return costs


def _variance(
    name: str, one: FloatArray | np.floating, other: FloatArray | np.floating
) -> FloatArray:
    """Return the square of the difference to be expected between two hospitals' means."""
    drawn = BETWEEN_PATIENTS[name] ** 2 * (1 / one + 1 / other)
    variance: FloatArray = np.asarray(BETWEEN_SITES[name] ** 2 + drawn)
    return variance
