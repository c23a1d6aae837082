"""A control chart: does a running average leave the band in which chance alone keeps it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import FloatArray

SMOOTHING = 0.2
"""lambda: the weight of the newest case."""
DRAWS = 4000
"""Windows that are drawn to learn what chance does."""


@dataclass(frozen=True)
class Chart:
    """An exponentially weighted moving average and its control limits.

    Attributes:
        averages: After each case.
        low: Lower limit after each case.
        high: Upper limit after each case.
        first_outside: 0-based place of the first average beyond its limit; None: none is.
        p: How often chance alone takes an average as far out, somewhere in the window.
    """

    averages: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    first_outside: int | None
    p: float


def ewma(values: FloatArray, start: float, smoothing: float = SMOOTHING) -> FloatArray:
    """Average along the last axis, the newest value weighing `smoothing`.

    Examples:
        >>> ewma(np.array([1.0, 1.0]), 0.0, 0.5).tolist()
        [0.5, 0.75]
    """
    averages = np.empty(values.shape, dtype=np.float64)
    before: FloatArray | float = start
    for place in range(values.shape[-1]):
        before = smoothing * values[..., place] + (1 - smoothing) * before
        averages[..., place] = before
    return averages


def normal_null(
    count: int, reference_count: int, generator: np.random.Generator, draws: int = DRAWS
) -> FloatArray:
    """Draw windows of a normal figure, in standard units of a reference that is itself a draw.

    Returns:
        (draws, count): value minus the reference's mean, over the reference's deviation.
    """
    values = generator.standard_normal((draws, count))
    means = generator.standard_normal((draws, 1)) / np.sqrt(reference_count)
    degrees = reference_count - 1
    deviations = np.sqrt(generator.chisquare(degrees, (draws, 1)) / degrees)
    scaled: FloatArray = (values - means) / deviations
    return scaled


def rate_null(
    count: int,
    reference_hits: int,
    reference_count: int,
    generator: np.random.Generator,
    draws: int = DRAWS,
) -> FloatArray:
    """Draw windows of yes and no whose rate is as uncertain as the reference leaves it.

    Returns:
        (draws, count): value minus the reference's rate, over its deviation.

    Source:
        Jeffreys' prior for a rate: Beta(hits + 1/2, misses + 1/2).
    """
    misses = reference_count - reference_hits
    rates = generator.beta(reference_hits + 0.5, misses + 0.5, (draws, 1))
    values = generator.random((draws, count)) < rates
    mean, deviation = rate_moments(reference_hits, reference_count)
    scaled: FloatArray = (values - mean) / deviation
    return scaled


def rate_moments(hits: int, count: int) -> tuple[float, float]:
    """Return mean and deviation of a yes that came `hits` times of `count`, never without spread.

    Examples:
        >>> rate_moments(0, 9)
        (0.05, 0.21794494717703367)
    """
    rate = (hits + 0.5) / (count + 1)
    return rate, float(np.sqrt(rate * (1 - rate)))


def peaks_of(null: FloatArray, smoothing: float = SMOOTHING) -> FloatArray:
    """Return how far out the average of each drawn window gets, in its own deviations.

    Args:
        null: (draws, count) windows in standard units, as `normal_null` draws them.
        smoothing: lambda.

    Returns:
        (draws,).
    """
    widths = _widths(null.shape[-1], smoothing)
    peaks: FloatArray = (np.abs(ewma(null, 0.0, smoothing)) / widths).max(axis=-1)
    return peaks


def chart(
    values: Sequence[float],
    mean: float,
    sd: float,
    peaks: FloatArray,
    *,
    alpha: float,
    smoothing: float = SMOOTHING,
) -> Chart:
    """Follow values case by case against limits that chance crosses once in 1 / `alpha` windows.

    Args:
        values: In the order in which they came.
        mean: Of the reference.
        sd: Of the reference.
        peaks: What `peaks_of` says about windows of as many cases.
        alpha: Chance of a false alarm in a whole window.
        smoothing: lambda.

    Raises:
        ValueError: If there is no value or sd is not positive.

    Source:
        Roberts, "Control chart tests based on geometric moving averages", Technometrics 1959. The
        width of the limits comes from the drawn windows rather than from L = 3, which holds for
        a known mean and an endless chart.
    """
    if not values or sd <= 0:
        message = f"expected values and sd > 0, got {len(values)} and {sd:g}"
        raise ValueError(message)
    widths = _widths(len(values), smoothing)
    averages = ewma(np.asarray(values, np.float64), mean, smoothing)
    distances = np.abs(averages - mean) / (sd * widths)
    limit = float(np.quantile(peaks, 1 - alpha))
    outside = np.flatnonzero(distances > limit)
    return Chart(
        averages=tuple(averages.tolist()),
        low=tuple((mean - limit * sd * widths).tolist()),
        high=tuple((mean + limit * sd * widths).tolist()),
        first_outside=int(outside[0]) if len(outside) else None,
        p=float((1 + (peaks >= distances.max()).sum()) / (1 + len(peaks))),
    )


def _widths(count: int, smoothing: float) -> FloatArray:
    """Return the deviation of an average after 1 … count cases, in units of a case's own."""
    steps = np.arange(1, count + 1)
    widths: FloatArray = np.sqrt(
        smoothing / (2 - smoothing) * (1 - (1 - smoothing) ** (2.0 * steps))
    )
    return widths
