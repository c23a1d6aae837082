"""Has a figure moved? A window of cases against a reference of which only deciles are known.

A reference keeps no case's own value: its deciles (fewer where five cases would not stand between
two of them), its mean and its spread. Every test here says how often chance alone gives as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import (  # type: ignore[import-untyped]  # scipy ships no types
    betabinom,
    binom,
    chi2,
    fisher_exact,
    kstwo,
    norm,
)

from crisp_core.arrays import FloatArray

BINS = 10
CASES_PER_BIN = 5
FEWEST = 2 * CASES_PER_BIN
"""Cases below which a reference has no median between two groups, and a window no verdict."""
HALF = 0.5
"""Added to every count of `psi`: an empty bin is rare, not impossible."""
POWER = 0.8


class Distance(NamedTuple):
    """How far apart two distributions are, and how often chance alone gives as much."""

    value: float
    p: float


@dataclass(frozen=True)
class Sample:
    """What is kept of many cases' values.

    Attributes:
        count: Number of cases.
        mean: Of the values.
        sd: Sample standard deviation.
        levels: Rising shares in (0, 1).
        quantiles: Rising values; up to each lies that share of the cases.
    """

    count: int
    mean: float
    sd: float
    levels: tuple[float, ...]
    quantiles: tuple[float, ...]


def sample_of(values: Sequence[float]) -> Sample:
    """Summarise cases so that at least five stand between any two of the numbers kept.

    Returns:
        Deciles, or fewer; none where nine of ten cases are equal and no other is larger.

    Raises:
        ValueError: If there are fewer than ten values or one is not finite.

    Examples:
        >>> sample_of(range(20)).quantiles
        (4.75, 9.5, 14.25)
    """
    array = _finite(values)
    bins = min(BINS, len(array) // CASES_PER_BIN)
    quantiles = np.quantile(array, np.arange(1, bins) / bins)
    shares = np.searchsorted(np.sort(array), quantiles, side="right") / len(array)
    levels, places = np.unique(shares, return_index=True)  # equal cases make equal quantiles
    inside = levels < 1
    return Sample(
        count=len(array),
        mean=float(array.mean()),
        sd=float(array.std(ddof=1)),
        levels=tuple(levels[inside].tolist()),
        quantiles=tuple(quantiles[places][inside].tolist()),
    )


def kolmogorov_smirnov(window: Sequence[float], reference: Sample) -> Distance:
    """Compare distribution functions at the reference's quantiles.

    The distance at a few places is at most the distance anywhere, so p is never too small.

    Returns:
        The largest difference of the shares below a quantile, and its two-sample p.

    Raises:
        ValueError: If the window has fewer than ten values.

    Source:
        Massey, "The Kolmogorov-Smirnov test for goodness of fit", JASA 1951; with two samples of
        n and m the distance is that of one sample of n m / (n + m).
    """
    ordered = np.sort(_finite(window))
    below = np.searchsorted(ordered, reference.quantiles, side="right") / len(ordered)
    distance = float(np.abs(below - np.array(reference.levels)).max())
    pooled = len(ordered) * reference.count / (len(ordered) + reference.count)
    return Distance(distance, float(kstwo.sf(distance, round(pooled))))


def psi(window: Sequence[float], reference: Sample) -> Distance:
    """Return the population stability index over the reference's quantile bins.

    sum over bins of (w - r) ln(w / r), where w and r are a bin's share of the window and of the
    reference. Above 0.2 is called a large change, but 40 cases in ten bins reach 0.3 by chance:
    p says how often. Bins are merged until five cases of the window are expected in each.

    Raises:
        ValueError: If the window has fewer than ten values.

    Source:
        Yurdakul, "Statistical properties of population stability index", 2018: times
        n m / (n + m) it is distributed as chi-square with one degree less than there are bins.
    """
    array = _finite(window)
    levels, edges = _merged(reference, len(array) // CASES_PER_BIN)
    counts = np.bincount(np.searchsorted(edges, array, side="left"), minlength=len(edges) + 1)
    shares = np.diff([0.0, *levels, 1.0])
    found = (counts + HALF) / (len(array) + HALF * len(counts))
    kept = (shares * reference.count + HALF) / (reference.count + HALF * len(counts))
    index = float(((found - kept) * np.log(found / kept)).sum())
    scaled = index * len(array) * reference.count / (len(array) + reference.count)
    return Distance(index, float(chi2.sf(scaled, len(edges))))


def bin_counts(window: Sequence[float], reference: Sample) -> tuple[int, ...]:
    """Count the window's cases between the reference's quantiles, the outermost open."""
    places = np.searchsorted(reference.quantiles, _finite(window), side="left")
    counts = np.bincount(places, minlength=len(reference.quantiles) + 1)
    return tuple(int(count) for count in counts)


def beyond_medians(
    below: int, above: int, count: int, lowest_cases: int, highest_cases: int
) -> float:
    """Return how often chance puts as many cases beyond the sources' medians.

    Where a window is drawn like one source, each case lies above that source's median with a
    chance that is 1/2 but for the median's own uncertainty: the share below the median of m cases
    is distributed as Beta((m + 1) / 2, (m + 1) / 2), so the count is beta-binomial.

    Args:
        below: Cases of the window below the lowest median of a source.
        above: Cases above the highest.
        count: Cases of the window.
        lowest_cases: Cases behind the lowest median.
        highest_cases: Cases behind the highest.

    Returns:
        Two-sided p, never too small.

    Raises:
        ValueError: If a count is negative, or more cases lie beyond than there are.
    """
    if min(below, above) < 0 or below + above > count or min(lowest_cases, highest_cases) < 1:
        message = f"{below} below and {above} above of {count} cases is impossible"
        raise ValueError(message)
    tails = [
        float(betabinom.sf(beyond - 1, count, (cases + 1) / 2, (cases + 1) / 2))
        for beyond, cases in ((below, lowest_cases), (above, highest_cases))
    ]
    return min(1.0, 2 * min(tails))


def beyond_share(hits: int, count: int, allowed: float) -> float:
    """Return how often chance gives as many hits where each case is one with chance `allowed`.

    Examples:
        >>> round(beyond_share(2, 2, 0.25), 4)
        0.0625
    """
    return float(binom.sf(hits - 1, count, allowed))


def rate_change(hits: int, count: int, reference_hits: int, reference_count: int) -> float:
    """Return Fisher's exact two-sided p of two rates.

    Source:
        Fisher, "On the interpretation of chi-square from contingency tables", 1922.
    """
    table = [[hits, count - hits], [reference_hits, reference_count - reference_hits]]
    return float(fisher_exact(table).pvalue)


def detectable_shift(count: int, reference_count: int, alpha: float) -> float:
    """Return the shift of the mean, in standard deviations, that is found four times in five.

    By a z test at `alpha`; the tests here need a little more.

    Examples:
        >>> round(detectable_shift(40, 60, 0.01), 2)
        0.7
    """
    quantiles = norm.ppf(1 - alpha / 2) + norm.ppf(POWER)
    return float(quantiles * np.sqrt(1 / count + 1 / reference_count))


def _finite(values: Sequence[float]) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if len(array) < FEWEST or not np.isfinite(array).all():
        message = f"expected at least {FEWEST} finite values, got {len(array)}"
        raise ValueError(message)
    return array


def _merged(reference: Sample, bins: int) -> tuple[FloatArray, FloatArray]:
    """Keep the levels and quantiles of at most `bins` bins, evenly chosen."""
    count = len(reference.levels)
    wanted = min(count, max(1, bins - 1))
    places = np.unique(np.round(np.linspace(0, count - 1, wanted + 2)[1:-1]).astype(int))
    chosen = np.arange(count) if wanted == count else places
    return np.array(reference.levels)[chosen], np.array(reference.quantiles)[chosen]
