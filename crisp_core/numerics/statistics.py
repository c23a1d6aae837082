"""Means with intervals that know that two cases of one patient are not two patients."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and what is known about it.

    Attributes:
        mean: Mean over all values.
        low: Lower end, None with fewer than two clusters.
        high: Upper end, None with fewer than two clusters.
        sd: Sample standard deviation of the values, None for a single value.
        count: Number of values.
        cluster_count: Number of clusters (patients).
    """

    mean: float
    low: float | None
    high: float | None
    sd: float | None
    count: int
    cluster_count: int


def mean_interval(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    samples: int,
    generator: np.random.Generator,
    level: float = 0.95,
) -> Interval:
    """Bootstrap the mean by drawing whole clusters with replacement.

    Cases of one patient resemble each other; drawing cases would make the interval too narrow.
    A single cluster says nothing about other clusters, so it has no interval.

    Args:
        values: One finite number per case.
        clusters: The patient of each case.
        samples: Number of bootstrap samples.
        generator: Source of the draws.
        level: Probability mass between low and high (percentile interval).

    Raises:
        ValueError: If there is no value, one is not finite, lengths differ, or samples or level
            are out of range.

    Source:
        Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8.
    """
    figures = np.asarray(values, dtype=np.float64)
    if figures.size == 0 or len(clusters) != len(figures) or not np.isfinite(figures).all():
        message = (
            f"expected finite values with one cluster each, "
            f"got {figures.size} values and {len(clusters)} clusters"
        )
        raise ValueError(message)
    if samples < 1 or not 0 < level < 1:
        message = f"samples must be at least 1 and level in (0, 1), got {samples} and {level}"
        raise ValueError(message)
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    member = np.array([numbers[cluster] for cluster in clusters])
    low, high = None, None
    if len(numbers) > 1:
        means = _resampled_means(figures, member, samples, generator)
        tail = 50 * (1 - level)
        low, high = (float(end) for end in np.percentile(means, [tail, 100 - tail]))
    sd = float(figures.std(ddof=1)) if figures.size > 1 else None
    return Interval(float(figures.mean()), low, high, sd, figures.size, len(numbers))


def _resampled_means(
    figures: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    member: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    samples: int,
    generator: np.random.Generator,
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return `samples` means; each draws as many clusters as there are."""
    sums, counts = np.bincount(member, figures), np.bincount(member)
    drawn = generator.integers(len(sums), size=(samples, len(sums)))
    means: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return means
