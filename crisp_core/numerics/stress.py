"""What artefacts cost a model: drops against its clean score, and against another model's drops."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

LEAST_BASELINE_DROP = 0.005
"""A share of less than this is no measure: dividing by it makes noise look like a finding."""


def drops(clean: float, corrupted: Sequence[float], *, higher_is_better: bool) -> tuple[float, ...]:
    """Return by how much each score is worse than the clean one; negative where it is better.

    Examples:
        >>> drops(0.75, [0.5, 1.0], higher_is_better=True)
        (0.25, -0.25)
    """
    sign = 1 if higher_is_better else -1
    return tuple(sign * (clean - score) for score in corrupted)


def relative_drop(
    own: Sequence[float], baseline: Sequence[float], least: float = LEAST_BASELINE_DROP
) -> float | None:
    """Return the mean drop over severities as a share of the baseline's mean drop.

    Args:
        own: A model's drops, one a severity.
        baseline: The baseline's drops at the same severities.
        least: A baseline that drops by less than this gives no measure.

    Returns:
        1 where both lose alike, less where the model loses less; None without a measure.

    Source:
        Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
        Perturbations", ICLR 2019, section 4.1 (relative corruption error).

    Examples:
        >>> relative_drop([0.1, 0.3], [0.2, 0.6])
        0.5
    """
    whole = fmean(baseline)
    return fmean(own) / whole if whole >= least else None


def worst_severity(
    scores: Sequence[float], severities: Sequence[int], *, higher_is_better: bool
) -> int:
    """Return the severity with the worst score; the mildest of several.

    Examples:
        >>> worst_severity([0.8, 0.5, 0.5], [1, 3, 5], higher_is_better=True)
        3
    """
    worst = min(scores) if higher_is_better else max(scores)
    return severities[list(scores).index(worst)]
