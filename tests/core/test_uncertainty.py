from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crisp_core.numerics.uncertainty import (
    area_under_curve,
    area_under_risk_coverage,
    mutual_information,
    predictive_entropy,
    rank_correlation,
    risk_coverage,
)

levels = st.integers(0, 3).map(float)
risks = st.floats(0, 1)


def test_entropy_is_zero_when_certain_and_ln_2_at_a_coin_toss() -> None:
    voxels = np.array([[1.0, 0.5], [0.0, 0.5]])

    np.testing.assert_allclose(predictive_entropy(voxels), [0.0, math.log(2)])


def test_two_certain_voices_that_contradict_each_other_carry_ln_2_of_information() -> None:
    contradicting = np.array([[[1.0], [0.0]], [[0.0], [1.0]]])
    equally_unsure = np.full((2, 2, 1), 0.5)

    assert mutual_information(contradicting)[0] == pytest.approx(math.log(2))
    assert mutual_information(equally_unsure)[0] == 0.0


@settings(deadline=None)
@given(arrays(np.float64, (3, 4, 2), elements=st.floats(0.01, 1)))
def test_information_lies_between_nothing_and_the_entropy_of_the_mean(odds: np.ndarray) -> None:
    samples = odds / odds.sum(axis=1, keepdims=True)

    information = mutual_information(samples)

    assert (information >= 0).all()
    assert (information <= predictive_entropy(samples.mean(axis=0)) + 1e-12).all()


def test_risk_rises_with_coverage_when_the_unsure_cases_are_the_bad_ones() -> None:
    assert risk_coverage([0.9, 0.1, 0.5], [1.0, 0.0, 0.5]).tolist() == [0.0, 0.25, 0.5]
    assert area_under_risk_coverage([0.9, 0.1, 0.5], [1.0, 0.0, 0.5]) == pytest.approx(0.25)


def test_constant_uncertainty_is_chance() -> None:
    assert area_under_risk_coverage([1.0] * 4, [0.0, 1.0, 0.5, 0.5]) == pytest.approx(0.5)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(levels, risks), min_size=1, max_size=5))
def test_ties_count_as_the_mean_over_every_order_of_them(cases: list[tuple[float, float]]) -> None:
    uncertainty, risk = zip(*cases, strict=True)
    orders = [
        order
        for order in itertools.permutations(range(len(cases)))
        if all(uncertainty[a] <= uncertainty[b] for a, b in itertools.pairwise(order))
    ]
    areas = [
        np.mean([np.mean([risk[i] for i in order[: n + 1]]) for n in range(len(order))])
        for order in orders
    ]

    assert area_under_risk_coverage(uncertainty, risk) == pytest.approx(np.mean(areas), abs=1e-12)


def test_no_case_and_lengths_that_differ_are_refused() -> None:
    for uncertainty, risk in (([], []), ([1.0], [1.0, 2.0])):
        with pytest.raises(ValueError, match="as many cases"):
            risk_coverage(uncertainty, risk)


def test_rank_correlation_needs_three_cases_that_differ() -> None:
    assert rank_correlation([1, 2, 3], [10, 20, 400]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3], [9, 4, 1]) == pytest.approx(-1.0)
    assert rank_correlation([1, 2], [1, 2]) is None
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None


@settings(deadline=None)
@given(arrays(np.int64, 12, elements=st.integers(0, 4)), arrays(np.bool_, 12))
def test_auc_is_the_share_of_pairs_in_the_right_order(
    scores: np.ndarray, truth: np.ndarray
) -> None:
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[truth] for b in scores[~truth]]

    area = area_under_curve(scores.astype(np.float64), truth)

    assert area == (pytest.approx(np.mean(pairs)) if pairs else None)


@settings(deadline=None)
@given(arrays(np.float64, 12, elements=st.floats(-5, 5)), arrays(np.bool_, 12))
def test_a_rising_map_of_the_scores_leaves_the_auc(scores: np.ndarray, truth: np.ndarray) -> None:
    rounded = np.round(scores, 3)  # apart by more than the map's rounding

    assert area_under_curve(np.exp(rounded), truth) == area_under_curve(rounded, truth)
