"""Mean and spread that a site can send without its cases, and that add up exactly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean and sum of squared deviations of some numbers.

    `a + b` are the moments of both together. Deviations are from the mean, not from zero: large
    values that hardly differ keep their digits.

    Source:
        Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
        Variances", 1979, equation 2.1.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def __add__(self, other: Moments) -> Moments:
        count = self.count + other.count
        if count == 0:
            return self
        apart = other.mean - self.mean
        return Moments(
            count,
            self.mean + apart * other.count / count,
            self.squares + other.squares + apart**2 * self.count * other.count / count,
        )

    @property
    def sd(self) -> float | None:
        """Sample standard deviation; None with fewer than two numbers."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else None


def moments_of(values: Sequence[float]) -> Moments:
    """Return the moments of finite numbers.

    Raises:
        ValueError: If a number is not finite.
    """
    figures = np.asarray(values, dtype=np.float64)
    if not np.isfinite(figures).all():
        message = "expected finite numbers, got nan or infinity"
        raise ValueError(message)
    if figures.size == 0:
        return Moments()
    mean = float(figures.mean())
    return Moments(figures.size, mean, float(((figures - mean) ** 2).sum()))


def joined_moments(parts: Iterable[Moments]) -> Moments:
    """Return the moments of every part's numbers together."""
    return sum(parts, Moments())


@dataclass(frozen=True, slots=True)
class LimitsOfAgreement:
    """Bias between two measurements and where 95 % of their differences lie, in their unit."""

    bias: float
    low: float
    high: float


def limits_of_agreement(differences: Moments) -> LimitsOfAgreement | None:
    """Return bias and 95 % limits of measured minus true; None with fewer than two pairs.

    Args:
        differences: Of measured - true, such as volumes in ml; of several sites by addition.

    Source:
        Bland and Altman, "Statistical methods for assessing agreement between two methods of
        clinical measurement", Lancet 1986.

    Examples:
        >>> limits_of_agreement(moments_of([-1.0, 1.0])).bias
        0.0
    """
    sd = differences.sd
    if sd is None:
        return None
    reach = NORMAL_95 * sd
    return LimitsOfAgreement(differences.mean, differences.mean - reach, differences.mean + reach)
