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
LONGEST_MATRIX = 10.0
"""The same for each array that has rows and columns."""
LONGEST_SQUARE = 4.0
"""The same where there are as many rows as columns: transposed, such a layer fits like before."""
LONGEST_VECTOR = 30.0
"""The same for each other array, such as what a layer counted of its own inputs."""
LONGEST_OF = {"square": LONGEST_SQUARE, "matrix": LONGEST_MATRIX, "vector": LONGEST_VECTOR}
OPPOSED = 0.2
"""Mean cosine from which on updates agree with one another, and below minus which one opposes."""
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


def kind(array: AnyArray) -> str:
    """Say how an array's length is judged: as a `square` or other `matrix`, or as a `vector`."""
    if array.ndim <= 1:
        return "vector"
    return "square" if array.shape[0] == array.shape[1] else "matrix"


class Comparison(NamedTuple):
    """What the updates of a round look like beside one another."""

    refused: Mapping[str, str]
    """Site -> reason, for each that is not like the others."""
    agreement: Mapping[str, float]
    """Mean cosine of each of the rest with the others of the rest, where all were compared."""


def compare(
    sites: Sequence[str], change_of: Callable[[str], Change], before: Mapping[str, float]
) -> Comparison:
    """Compare the changes of a round with one another.

    Each change is read several times, one at a time; beside it, memory holds one sum of the same
    size. With fewer than three changes nothing can be told.

    Args:
        sites: Whose changes are compared.
        change_of: Begins a site's change from its first array.
        before: Each site's agreement in the last round in which it counted. A site that has drifted
            away from the others, as honest ones do at the end, is not refused for it; one that
            turns around is, and so is one that opposes the others from the start.
    """
    lengths = {site: _lengths(change_of(site)) for site in sites}
    if len(lengths) < COMPARABLE:
        return Comparison({}, {})
    reasons = _too_long(lengths)
    while True:
        rest = [site for site in sites if site not in reasons]
        agreement = _agreement(rest, change_of, lengths)
        turned = {
            site: min(opposed, before.get(site, 1.0))
            for site, opposed in opposition(agreement).items()
        }
        site = max(turned, key=turned.__getitem__, default="")
        if turned.get(site, 0.0) <= OPPOSED:
            return Comparison(reasons, agreement)
        reasons[site] = "refused: its change points against the others', which agree"


def opposition(agreement: Mapping[str, float]) -> dict[str, float]:
    """Say of each site how much the others agree and it opposes them, whichever is less.

    With c the mean cosine of each of n sites with the others, that of the others of site i with
    one another is (sum c - 2 c_i) / (n - 2). Of fewer than three sites nothing is said.

    Examples:
        >>> opposition({"a": 0.0, "b": 0.25, "c": -0.25})
        {'a': 0.0, 'b': -0.5, 'c': 0.25}
    """
    count, total = len(agreement), sum(agreement.values())
    if count < COMPARABLE:
        return {}
    return {site: min((total - 2 * own) / (count - 2), -own) for site, own in agreement.items()}


def _too_long(lengths: Mapping[str, Mapping[str, _Length]]) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for site, own in lengths.items():
        others = [lengths[other] for other in lengths if other != site]
        for name, (length, limit, _) in own.items():
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
    is_matrix: bool = False


def _lengths(own: Change) -> dict[str, _Length]:
    """Return the length of a whole change, under the name "", and of each array in it."""
    parts = {}
    for name, array in own:
        length = math.sqrt(_dot(array, array))
        parts[name] = _Length(length, LONGEST_OF[kind(array)], array.ndim > 1)
    return {"": _Length(math.hypot(*(part.length for part in parts.values())), LONGEST), **parts}


def _agreement(
    sites: Sequence[str],
    change_of: Callable[[str], Change],
    lengths: Mapping[str, Mapping[str, _Length]],
) -> dict[str, float]:
    """Return the mean cosine of each site's direction with those of the others.

    With u the directions of the n sites and T their sum it is (u.T - u.u) / (n - 1).
    """
    if len(sites) == 1:
        return {}
    total: dict[str, AnyArray] = {}
    for site in sites:
        for name, array in _direction(change_of(site), lengths[site]):
            total[name] = total[name] + array if name in total else array
    agreement = {}
    for site in sites:
        own = _direction(change_of(site), lengths[site])
        dot = sum(_dot(array, total[name] - array) for name, array in own)
        agreement[site] = dot / (len(sites) - 1)
    return agreement


def _direction(own: Change, lengths: Mapping[str, _Length]) -> Change:
    """Yield the matrices of a change, each as long as any other, together of length 1.

    The deepest layers have most of the weights and most of the noise, and would drown what all
    sites learn alike; the statistics of layers have no say.
    """
    matrices = {
        name: part.length for name, part in lengths.items() if part.is_matrix and part.length > 0
    }
    for name, array in own:
        if name in matrices:
            length = matrices[name] * math.sqrt(len(matrices))
            yield name, (array / length).astype(np.float32)


def _dot(a: AnyArray, b: AnyArray) -> float:
    return float(np.vdot(a, b))


def _refused(site: str, expected: str, got: str) -> UpdateRefusedError:
    return UpdateRefusedError(
        expected=expected,
        got=got,
        where=f"update of site {site!r}",
        fix="The update was left out of this round",
    )
