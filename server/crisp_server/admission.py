"""The door in: an update counts if it fits the model that was sent out and resembles the others.

How much honest sites differ, and from where on an update is refused, was measured: see
docs/decisions/0008-updates-are-compared.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np

from crisp_core.arrays import AnyArray, Parameters
from crisp_core.errors import UpdateRefusedError

LONGEST = 10.0
"""Times the median length of the others' changes."""
LONGEST_MATRIX = 4.0
"""The same for each array that has rows and columns: a transposed layer changes that one alone."""
LONGEST_VECTOR = 30.0
"""The same for each other array, such as what a layer counted of its own inputs."""
OPPOSED = 0.2
"""Agreement of the others (mean cosine) from which on one that opposes them as much is refused."""
COMPARABLE = 3
"""Updates of which one can be told apart from the others."""

Change = Iterator[tuple[str, AnyArray]]
"""An update minus what was sent, array by array."""


def admit(site: str, update: Parameters, sent: Parameters) -> Parameters:
    """Return `update` in the order of `sent` if names, shapes and types agree and all is finite.

    Raises:
        UpdateRefusedError: Naming the site, the array and what is wrong with it.
    """
    if set(update) != set(sent):
        odd = min(set(update) ^ set(sent))
        got = "no array" if odd in sent else "an unknown array"
        raise _refused(site, "the arrays that were sent out", f"{got} {odd!r}")
    for name, reference in sent.items():
        array = update[name]
        if array.shape != reference.shape or array.dtype != reference.dtype:
            expected = f"{reference.dtype} {reference.shape} in {name!r}"
            raise _refused(site, expected, f"{array.dtype} {array.shape}")
        if not np.isfinite(array).all():
            raise _refused(site, f"finite numbers in {name!r}", "nan or infinity")
    return {name: update[name] for name in sent}


def change(update: Parameters, sent: Parameters) -> Change:
    """Yield what training did to each array of floating-point numbers."""
    for name, array in update.items():
        if array.dtype.kind == "f":
            yield name, np.subtract(array, sent[name], dtype=np.float64)


def unlike_others(sites: Sequence[str], change_of: Callable[[str], Change]) -> dict[str, str]:
    """Compare the changes of a round; site -> reason, for each that is not like the others.

    Each change is read several times, one at a time; beside it, memory holds one sum of the same
    size. With fewer than three changes nothing can be told.

    Args:
        sites: Whose changes are compared.
        change_of: Begins a site's change from its first array.
    """
    lengths = {site: _lengths(change_of(site)) for site in sites}
    reasons = _too_long(lengths) if len(lengths) >= COMPARABLE else {}
    rest = [site for site in sites if site not in reasons]
    while len(rest) >= COMPARABLE:
        opposed = _opposed(rest, change_of)
        site = max(opposed, key=opposed.__getitem__)
        if opposed[site] <= OPPOSED:
            break
        rest.remove(site)
        reasons[site] = "refused: its change points against the others', which agree"
    return reasons


def _too_long(lengths: Mapping[str, Mapping[str, _Length]]) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for site, own in lengths.items():
        others = [lengths[other] for other in lengths if other != site]
        for name, (length, limit) in own.items():
            usual = median(other[name].length for other in others)
            if length > limit * usual > 0:
                part = f" of {name!r}" if name else ""
                times = f"{length / usual:.1f} times the others'"
                reasons[site] = f"refused: its change{part} has {times} length"
                break
    return reasons


class _Length(NamedTuple):
    length: float
    limit: float
    """Times the others' median."""


def _lengths(own: Change) -> dict[str, _Length]:
    """Return the length of a whole change, under the name "", and of each array in it."""
    parts = {
        name: _Length(
            math.sqrt(_dot(array, array)), LONGEST_MATRIX if array.ndim > 1 else LONGEST_VECTOR
        )
        for name, array in own
    }
    return {"": _Length(math.hypot(*(part.length for part in parts.values())), LONGEST), **parts}


def _opposed(sites: Sequence[str], change_of: Callable[[str], Change]) -> dict[str, float]:
    """Say of each site how much the others agree and it opposes them, whichever is less.

    With u the directions of the n changes and T their sum: the cosine of u with the others is
    (u.T - 1) / |T - u|, and the mean cosine of two of the others follows from
    |T - u|^2 = (n - 1) + (n - 1)(n - 2) mean.
    """
    total: dict[str, AnyArray] = {}
    for site in sites:
        for name, array in _direction(change_of, site):
            total[name] = total[name] + array if name in total else array
    square = sum(_dot(array, array) for array in total.values())
    others, opposed = len(sites) - 1, {}
    for site in sites:
        dot = sum(_dot(array, total[name]) for name, array in _direction(change_of, site))
        rest = max(0.0, square - 2 * dot + 1)
        agreement = (rest - others) / (others * (others - 1))
        opposed[site] = min(agreement, (1 - dot) / math.sqrt(rest)) if rest else 0.0
    return opposed


def _direction(change_of: Callable[[str], Change], site: str) -> Change:
    """Yield the matrices of a change, together of length 1: statistics of layers have no say."""
    length = math.sqrt(sum(_dot(a, a) for _, a in change_of(site) if a.ndim > 1))
    for name, array in change_of(site):
        if array.ndim > 1:
            yield name, (array / (length or 1.0)).astype(np.float32)


def _dot(a: AnyArray, b: AnyArray) -> float:
    return float(np.vdot(a, b))


def _refused(site: str, expected: str, got: str) -> UpdateRefusedError:
    return UpdateRefusedError(
        expected=expected,
        got=got,
        where=f"update of site {site!r}",
        fix="The update was left out of this round",
    )
