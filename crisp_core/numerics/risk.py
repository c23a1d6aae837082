"""From evidence to a score, from the scores of validation to thresholds, from a score to a word.

A rule, not a regression: a study has tens of validation cases, of which few fail. Each piece of
evidence is placed among the validation cases; the score is the mean of the places.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from crisp_core.arrays import BoolArray, FloatArray

Evidence: TypeAlias = Mapping[str, float | None]
"""Name -> number, more is worse; None where it is not known."""
Quantiles: TypeAlias = Mapping[str, Sequence[float]]
LEVELS = 11
"""Quantiles 0 %, 10 %, … 100 %. The outermost two are single cases' own values."""
FURTHEST = 3.0
"""Place of a case that is far beyond all of validation: one number alone is not everything."""
FEWEST_FAILURES = 5
"""Failed validation cases below which a catch rate would be a guess."""
REVIEWED_SHARE = 0.1
"""Share of validation that is flagged where too few of its cases failed."""
REJECT_SURE = 0.8
"""Share of the validation cases from `reject` upwards that failed, at least."""


@dataclass(frozen=True)
class FittedRule:
    """Places and thresholds; the attributes are those of `crisp_core.schema.risk.RiskRule`."""

    quantiles: dict[str, tuple[float, ...]]
    review: float
    reject: float
    basis: Literal["failures", "quantiles"]
    case_count: int
    failure_count: int
    caught: float | None
    flagged: float


def place(value: float, quantiles: Sequence[float]) -> float:
    """Say where a value lies among the validation cases: 0 at their least, 1 at their greatest.

    Equal quantiles share the mean of their levels. Beyond the greatest it goes on rising, by 1 for
    every distance from the median to the greatest, up to `FURTHEST`; it is 1 where they coincide.

    Examples:
        >>> place(2.0, [0.0, 2.0, 4.0]), place(8.0, [0.0, 2.0, 4.0]), place(-1.0, [0.0, 2.0, 4.0])
        (0.5, 3.0, 0.0)
    """
    points = np.asarray(quantiles, np.float64)
    levels = np.linspace(0, 1, len(points))
    known, places = np.unique(points, return_inverse=True)
    means = np.bincount(places, levels) / np.bincount(places)
    beyond = value - points[-1]
    if beyond <= 0:
        return float(np.interp(value, known, means))
    reach = points[-1] - np.median(points)
    return float(min(1 + beyond / reach, FURTHEST)) if reach > 0 else 1.0


def score(evidence: Evidence, quantiles: Quantiles) -> float | None:
    """Return the mean place of what is known of a case; None where nothing is."""
    places = _places(evidence, quantiles)
    return sum(places.values()) / len(places) if places else None


def reasons(evidence: Evidence, quantiles: Quantiles, review: float) -> tuple[str, ...]:
    """Name the evidence that lies at or beyond `review`, the furthest first, and at least one."""
    ranked = sorted(_places(evidence, quantiles).items(), key=lambda item: -item[1])
    return tuple(
        name for number, (name, where) in enumerate(ranked) if where >= review or number == 0
    )


def fit_rule(
    evidence: Sequence[Evidence],
    failed: Sequence[bool],
    catch_rate: float,
) -> FittedRule:
    """Set the thresholds on validation cases.

    With `FEWEST_FAILURES` failed cases or more, `review` is the highest score that flags the share
    `catch_rate` of them, and `reject` the lowest one from there on from which `REJECT_SURE` of the
    cases failed. With fewer, `review` flags the share `REVIEWED_SHARE` of all cases. Where no score
    earns it, `reject` lies beyond every validation case.

    Args:
        evidence: One mapping a case.
        failed: Whether the answer to the case was bad.
        catch_rate: In (0, 1].

    Raises:
        ValueError: If there is no case with evidence, lengths differ or the rate is out of range.
    """
    if len(evidence) != len(failed) or not 0 < catch_rate <= 1:
        message = f"{len(evidence)} cases, {len(failed)} outcomes, catch rate {catch_rate}"
        raise ValueError(message)
    quantiles = _quantiles(evidence)
    pairs = [(score(one, quantiles), bad) for one, bad in zip(evidence, failed, strict=True)]
    known = [(value, bad) for value, bad in pairs if value is not None]
    if not known:
        message = "expected at least one case with evidence, got none"
        raise ValueError(message)
    scores = np.array([value for value, _ in known])
    bad = np.array([flag for _, flag in known], dtype=bool)
    enough = int(bad.sum()) >= FEWEST_FAILURES
    review = _catching(scores[bad], catch_rate) if enough else _highest(scores, REVIEWED_SHARE)
    return FittedRule(
        quantiles=quantiles,
        review=review,
        reject=_sure(scores, bad, review) if enough else _beyond(scores),
        basis="failures" if enough else "quantiles",
        case_count=len(scores),
        failure_count=int(bad.sum()),
        caught=float((scores[bad] >= review).mean()) if bad.any() else None,
        flagged=float((scores >= review).mean()),
    )


def _places(evidence: Evidence, quantiles: Quantiles) -> dict[str, float]:
    return {
        name: place(value, quantiles[name])
        for name, value in evidence.items()
        if value is not None and name in quantiles
    }


def _quantiles(evidence: Sequence[Evidence]) -> dict[str, tuple[float, ...]]:
    """Take the quantiles of every piece of evidence over the cases that have it."""
    found: dict[str, tuple[float, ...]] = {}
    for name in dict.fromkeys(name for one in evidence for name in one):
        values = [value for one in evidence if (value := one.get(name)) is not None]
        if values:
            levels = np.quantile(values, np.linspace(0, 1, LEVELS))
            found[name] = tuple(float(level) for level in levels)
    return found


def _catching(bad: FloatArray, catch_rate: float) -> float:
    """Return the highest score from which the share `catch_rate` of the failures lies."""
    wanted = math.ceil(catch_rate * len(bad) - 1e-9)  # 0.9 x 10 is 9.000000000000002 in floats
    return float(np.sort(bad)[::-1][wanted - 1])


def _highest(scores: FloatArray, share: float) -> float:
    """Return the score from which the share `share` of the cases lies, at least one."""
    return float(np.sort(scores)[::-1][max(math.floor(share * len(scores)), 1) - 1])


def _sure(
    scores: FloatArray,
    bad: BoolArray,
    review: float,
) -> float:
    """Return the lowest score, not below `review`, from which nearly all cases failed."""
    for threshold in np.unique(scores[scores >= review]):
        if bad[scores >= threshold].mean() >= REJECT_SURE:
            return float(threshold)
    return _beyond(scores)


def _beyond(scores: FloatArray) -> float:
    return float(np.nextafter(scores.max(), np.inf))
