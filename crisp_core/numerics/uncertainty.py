"""How unsure a prediction is, and whether being unsure foretells being wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import entr  # type: ignore[import-untyped]  # scipy ships no types
from scipy.stats import rankdata, spearmanr  # type: ignore[import-untyped]  # likewise

from crisp_core.arrays import FloatArray

FEWEST_TO_RANK = 3


def predictive_entropy(probabilities: FloatArray) -> FloatArray:
    """Return the entropy in nats of each voxel's classes.

    Args:
        probabilities: (C, ...), summing to 1 over the first axis.

    Returns:
        (...), 0 where one class is certain, ln C where all are equal.
    """
    return np.asarray(entr(probabilities).sum(axis=0))


def mutual_information(samples: FloatArray) -> FloatArray:
    """Return what the perturbations disagree about: entropy of the mean less the mean entropy.

    Args:
        samples: (N, C, ...), the probabilities of N perturbations.

    Returns:
        (...) in nats, 0 where all N say the same, however unsure each of them is.

    Source:
        Houlsby et al., "Bayesian Active Learning for Classification and Preference Learning",
        2011, equation 1.
    """
    total = predictive_entropy(samples.mean(axis=0))
    own = entr(samples).sum(axis=1).mean(axis=0)
    return np.asarray(np.maximum(total - own, 0))  # rounding may leave -1e-17


def risk_coverage(uncertainty: Sequence[float], risk: Sequence[float]) -> FloatArray:
    """Return the mean risk of the n surest cases for n = 1 … all.

    Cases that are equally unsure enter together: each of their places has the mean that any order
    of them gives on average.

    Args:
        uncertainty: One number a case; the smallest is surest.
        risk: One number a case, such as 1 - Dice.

    Raises:
        ValueError: If there is no case or the lengths differ.

    Examples:
        >>> risk_coverage([0.1, 0.9], [0.0, 1.0]).tolist()
        [0.0, 0.5]
    """
    if len(uncertainty) != len(risk) or not len(risk):
        message = f"expected as many cases as risks, got {len(uncertainty)} and {len(risk)}"
        raise ValueError(message)
    order = np.argsort(uncertainty, kind="stable")
    sure, risks = np.asarray(uncertainty, np.float64)[order], np.asarray(risk, np.float64)[order]
    _, first, counts = np.unique(sure, return_index=True, return_counts=True)
    means = np.add.reduceat(risks, first) / counts
    smoothed = np.repeat(means, counts)
    return np.asarray(np.cumsum(smoothed) / np.arange(1, len(risks) + 1))


def area_under_risk_coverage(uncertainty: Sequence[float], risk: Sequence[float]) -> float:
    """Return the mean of `risk_coverage` (AURC); smaller is better, the mean risk is chance.

    Source:
        Geifman et al., "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers",
        ICLR 2019, section 3.
    """
    return float(risk_coverage(uncertainty, risk).mean())


def rank_correlation(uncertainty: Sequence[float], error: Sequence[float]) -> float | None:
    """Return Spearman's rho; None with fewer than three cases or when one side is constant."""
    if len(uncertainty) < FEWEST_TO_RANK or len(set(uncertainty)) == 1 or len(set(error)) == 1:
        return None
    return float(spearmanr(uncertainty, error).statistic)


def area_under_curve(scores: FloatArray, positive: FloatArray) -> float | None:
    """Return the chance that a positive voxel outranks a negative one (AUC); None without both.

    Any strictly increasing map of the scores leaves it as it is: this is what stays stable across
    hospitals while probabilities do not.

    Args:
        scores: Any shape.
        positive: bool, the same shape.
    """
    truth = np.asarray(positive, bool).ravel()
    count = int(truth.sum())
    if count in {0, truth.size}:
        return None
    ranks = rankdata(np.asarray(scores).ravel())
    above = ranks[truth].sum() - count * (count + 1) / 2
    return float(above / (count * (truth.size - count)))
