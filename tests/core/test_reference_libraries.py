"""Figures that have a reference library equal it on 200 random cases; distances are elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import entropy, mannwhitneyu

from crisp_core.numerics.calibration import brier_score
from crisp_core.numerics.metrics import dice, precision, sensitivity, volume_error
from crisp_core.numerics.uncertainty import area_under_curve, predictive_entropy

CASES = 200


def masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two masks (3, 8, 7) that overlap in part, never empty."""
    generator = np.random.default_rng(seed)
    field = generator.normal(size=(3, 8, 7))
    return field + generator.normal(size=field.shape) > 0.3, field > 0.2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_overlap_equals_medpy() -> None:
    binary = pytest.importorskip("medpy.metric.binary")

    for seed in range(CASES):
        pair = masks(seed)
        assert dice(*pair) == pytest.approx(binary.dc(*pair), abs=1e-12)
        assert sensitivity(*pair) == pytest.approx(binary.recall(*pair), abs=1e-12)
        assert precision(*pair) == pytest.approx(binary.precision(*pair), abs=1e-12)
        assert volume_error(*pair) == pytest.approx(binary.ravd(*pair), abs=1e-12)


@pytest.mark.slow
def test_ranks_and_entropy_equal_scipy() -> None:
    for seed in range(CASES):
        found, truth = masks(seed)
        scores = np.round(np.random.default_rng(seed).normal(size=truth.shape) + found, 1)
        statistic = mannwhitneyu(scores[truth], scores[~truth]).statistic
        area = statistic / (truth.sum() * (~truth).sum())
        assert area_under_curve(scores, truth) == pytest.approx(area, abs=1e-12)
        odds = np.stack([expit(scores), 1 - expit(scores)])
        np.testing.assert_allclose(predictive_entropy(odds), entropy(odds, axis=0), atol=1e-12)


def test_brier_equals_the_sum_over_classes_of_the_squares() -> None:
    for seed in range(20):
        generator = np.random.default_rng(seed)
        odds = generator.dirichlet(np.ones(3), size=50).T
        labels = generator.integers(3, size=50)
        squares = [
            sum((row[c] - (own == c)) ** 2 for c in range(3))
            for row, own in zip(odds.T, labels, strict=True)
        ]
        assert brier_score(odds, labels, labels >= 0) == pytest.approx(np.mean(squares), abs=1e-12)
