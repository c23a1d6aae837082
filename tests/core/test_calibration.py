from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.numerics.calibration import (
    brier_score,
    class_bins,
    joined_bins,
    region_around,
    reliability_bins,
    top_label_bins,
)

CASES = 200


def case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (3, 2, 6, 5) and labels (2, 6, 5) that somewhat agree."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(3, 2, 6, 5)).astype(np.float32) * 2
    odds = np.exp(scores)
    return odds / odds.sum(axis=0), (scores + generator.normal(size=scores.shape)).argmax(axis=0)


def test_four_voxels_at_nine_tenths_of_which_three_are_right_are_off_by_fifteen_hundredths() -> (
    None
):
    bins = reliability_bins(np.full(4, 0.9), np.array([True, True, True, False]))

    assert bins.expected_calibration_error == pytest.approx(0.15)
    assert bins.counts[13] == 4  # 0.9 is in [13/15, 14/15)


def test_certainty_belongs_to_the_last_bin_and_nothing_has_no_error() -> None:
    assert reliability_bins(np.array([1.0]), np.array([True])).counts[-1] == 1
    assert reliability_bins(np.array([]), np.array([], bool)).expected_calibration_error is None


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan])
def test_a_confidence_that_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        reliability_bins(np.array([wrong]), np.array([True]))


def test_lengths_and_bins_that_differ_are_refused() -> None:
    one, other = (reliability_bins(np.array([0.5]), np.array([True]), n) for n in (10, 15))

    with pytest.raises(ValueError, match="same bins"):
        joined_bins([one, other])
    with pytest.raises(ValueError, match="2 values"):
        reliability_bins(np.array([0.5, 0.5]), np.array([True]))


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=5))
def test_the_sites_bins_joined_equal_the_pooled_ones(seeds: list[int]) -> None:
    cases = [case(seed) for seed in seeds]
    everywhere = np.ones((2, 6, 5), dtype=bool)
    parts = [top_label_bins(p, labels, everywhere) for p, labels in cases]
    pooled = top_label_bins(
        np.concatenate([p for p, _ in cases], axis=1),
        np.concatenate([labels for _, labels in cases]),
        np.ones((2 * len(cases), 6, 5), dtype=bool),
    )

    joined = joined_bins(parts)

    assert joined.expected_calibration_error == pytest.approx(
        pooled.expected_calibration_error, abs=1e-9
    )
    np.testing.assert_array_equal(joined.counts, pooled.counts)


@pytest.mark.slow
def test_top_label_error_equals_torchmetrics_on_random_cases() -> None:
    theirs = pytest.importorskip("torchmetrics.functional.classification")

    for seed in range(CASES):
        probabilities, labels = case(seed)
        flat = torch.tensor(probabilities.reshape(3, -1).T)
        expected = theirs.multiclass_calibration_error(
            flat, torch.tensor(labels.ravel()), num_classes=3, n_bins=15, norm="l1"
        )
        bins = top_label_bins(probabilities, labels, np.ones(labels.shape, bool))
        assert bins.expected_calibration_error == pytest.approx(float(expected), abs=1e-6)


def test_each_class_error_is_that_of_its_own_probability_bin_by_bin() -> None:
    for seed in range(CASES):
        probabilities, labels = case(seed)
        for number, bins in enumerate(class_bins(probabilities, labels, labels >= 0)):
            expected = calibration_of(probabilities[number].ravel(), labels.ravel() == number)
            assert bins.expected_calibration_error == pytest.approx(expected, abs=1e-9)


def calibration_of(confidence: np.ndarray, right: np.ndarray) -> float:
    """Bin by bin, as in the paper."""
    total = 0.0
    for number in range(15):
        low, high = number / 15, (number + 1) / 15
        inside = (confidence >= low) & ((confidence < high) | (number == 14))
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].astype(np.float64).mean())
            total += inside.mean() * gap
    return total


def test_the_region_is_the_box_around_both_masks_and_stays_in_the_image() -> None:
    reference, prediction = np.zeros((2, 5, 40, 40), dtype=bool)
    reference[2, 20:22, 20:22], prediction[3, 2:4, 20] = True, True

    region = region_around([reference, prediction], margin_voxels=10)

    assert region.sum() == 2 * (22 + 10) * (2 + 20)  # slices 2-3, rows 0-31, columns 10-31
    assert not region_around([np.zeros((2, 4, 4), bool)]).any()


def test_a_certain_right_answer_has_no_brier_score_and_a_certain_wrong_one_two() -> None:
    sure = np.array([[1.0], [0.0]])
    here = np.array([True])

    assert brier_score(sure, np.array([0]), here) == 0.0
    assert brier_score(sure, np.array([1]), here) == 2.0
    assert brier_score(sure, np.array([1]), ~here) is None
