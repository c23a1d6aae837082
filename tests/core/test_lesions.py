from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from crisp_core.numerics.lesions import LesionCounts, count_lesions

masks = arrays(np.bool_, (2, 5, 5))


def squares(*corners: tuple[int, int], side: int = 3) -> np.ndarray:
    mask = np.zeros((1, 16, 16), dtype=bool)
    for row, column in corners:
        mask[0, row : row + side, column : column + side] = True
    return mask


def test_one_found_one_missed_and_one_made_up_are_counted_as_such() -> None:
    reference = squares((1, 1), (10, 10))
    prediction = squares((1, 2), (1, 10))  # 6 of 12 voxels of the first; the second is invented

    counts = count_lesions(prediction, reference)

    assert counts == LesionCounts(reference=2, detected=1, predicted=2, matched=1)
    assert (counts.sensitivity, counts.precision) == (0.5, 0.5)


def test_a_touch_below_the_overlap_is_no_detection() -> None:
    reference, prediction = squares((1, 1)), squares((3, 3))  # 1 of 17 voxels in common

    assert count_lesions(prediction, reference).detected == 0
    assert count_lesions(prediction, reference, overlap=1 / 17).detected == 1


def test_corners_touch() -> None:
    mask = np.zeros((1, 4, 4), dtype=bool)
    mask[0, 0, 0] = mask[0, 1, 1] = True

    assert count_lesions(mask, mask).reference == 1


def test_nothing_to_find_has_no_sensitivity_and_nothing_found_no_precision() -> None:
    empty = np.zeros((1, 4, 4), dtype=bool)

    counts = count_lesions(empty, empty)

    assert (counts.sensitivity, counts.precision) == (None, None)


def test_counts_of_two_cases_add_up() -> None:
    one, other = LesionCounts(2, 1, 3, 1), LesionCounts(1, 1, 1, 1)

    assert (one + other).sensitivity == pytest.approx(2 / 3)


@pytest.mark.parametrize("overlap", [0.0, 1.5])
def test_an_overlap_that_is_no_share_is_refused(overlap: float) -> None:
    with pytest.raises(ValueError, match="overlap"):
        count_lesions(squares((1, 1)), squares((1, 1)), overlap)


def test_masks_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="but reference is"):
        count_lesions(np.zeros((1, 2, 2), bool), np.zeros((1, 2, 3), bool))


@settings(deadline=None)
@given(masks, masks)
def test_counts_agree_with_matching_every_pair_by_hand(
    first: np.ndarray, second: np.ndarray
) -> None:
    touching = np.ones((3, 3, 3))
    (found, found_count), (real, real_count) = (ndimage.label(m, touching) for m in (first, second))
    pairs = [
        (i, j)
        for i in range(1, found_count + 1)
        for j in range(1, real_count + 1)
        if ((found == i) & (real == j)).sum() >= 0.1 * ((found == i) | (real == j)).sum()
    ]

    counts = count_lesions(first, second)

    assert counts.detected == len({j for _, j in pairs})
    assert counts.matched == len({i for i, _ in pairs})
    assert (counts.predicted, counts.reference) == (found_count, real_count)


@settings(deadline=None)
@given(masks, st.floats(0.01, 1.0))
def test_a_mask_finds_all_of_its_own_lesions(mask: np.ndarray, overlap: float) -> None:
    counts = count_lesions(mask, mask, overlap)

    assert counts.detected == counts.matched == counts.reference == counts.predicted
