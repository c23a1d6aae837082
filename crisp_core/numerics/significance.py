"""Is one method better than another, or was it luck? Paired by patient, corrected for looking."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import wilcoxon  # type: ignore[import-untyped]  # scipy ships no types


def paired_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test.

    Pairs without a difference are left out; with none left the methods are equal and p is 1. Below
    51 pairs without ties or equal pairs the distribution is exact.

    Args:
        first: One finite number per patient.
        second: The same patients, in the same order.

    Raises:
        ValueError: If there is no pair, lengths differ or a number is not finite.

    Source:
        Wilcoxon, "Individual comparisons by ranking methods", 1945.

    Examples:
        >>> paired_p([0.9, 0.8, 0.7, 0.9, 0.8], [0.8, 0.6, 0.4, 0.5, 0.3])
        0.0625
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape or one.size == 0 or not np.isfinite([one, other]).all():
        message = f"expected finite pairs, got {one.size} and {other.size} numbers"
        raise ValueError(message)
    apart = one - other
    if not apart.any():
        return 1.0
    return float(wilcoxon(apart[apart != 0]).pvalue)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjust p values for having made several comparisons, in their own order.

    Args:
        p_values: In [0, 1].

    Returns:
        Each at least as large as before and at most 1; comparing them with 0.05 keeps the chance
        of even one false finding at 5 %.

    Raises:
        ValueError: If one is not in [0, 1].

    Source:
        Holm, "A simple sequentially rejective multiple test procedure", 1979.

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        (0.03, 0.06, 0.06)
    """
    values = np.asarray(p_values, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        message = f"expected p values in [0, 1], got {list(p_values)}"
        raise ValueError(message)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return tuple(float(value) for value in adjusted)


def benjamini_hochberg(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjust p values so that few of those called findings are false, in their own order.

    Args:
        p_values: In [0, 1].

    Returns:
        Each at least as large as before and at most 1. Calling those below q findings keeps the
        expected share of false ones among them at q; where nothing is to be found, the chance of
        any finding at all.

    Raises:
        ValueError: If one is not in [0, 1].

    Source:
        Benjamini and Hochberg, "Controlling the false discovery rate", JRSS B 1995.

    Examples:
        >>> benjamini_hochberg([0.01, 0.04, 0.03])
        (0.03, 0.04, 0.04)
    """
    values = np.asarray(p_values, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        message = f"expected p values in [0, 1], got {list(p_values)}"
        raise ValueError(message)
    order = np.argsort(values, kind="stable")[::-1]
    scaled = values[order] * len(values) / np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled), 1)
    return tuple(float(value) for value in adjusted)
