from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crisp_core.numerics.metrics import dice
from crisp_core.numerics.strata import (
    SIZES,
    dice_by_third,
    size_stratum,
    stratum_of,
    tertile_edges,
)


@pytest.mark.parametrize(("ml", "place"), [(0.0, 0), (0.99, 0), (1.0, 1), (9.9, 1), (10.0, 2)])
def test_an_edge_belongs_to_the_larger_size(ml: float, place: int) -> None:
    assert size_stratum(ml) == SIZES[place]


def test_names_and_edges_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 3 names for 2 edges"):
        stratum_of(1.0, (1.0, 2.0), ("a", "b"))


@given(st.lists(st.floats(-5, 5), max_size=30))
def test_each_third_of_a_sample_holds_about_a_third_of_it(values: list[float]) -> None:
    edges = tertile_edges(values)

    if edges is None:
        assert len(values) < 3 or np.quantile(values, 1 / 3) == np.quantile(values, 2 / 3)
    else:
        below = [sum(value < edge for value in values) for edge in edges]
        assert below[0] <= len(values) / 3 + 1
        assert below[1] <= 2 * len(values) / 3 + 1


def test_each_third_of_the_slices_has_its_own_dice() -> None:
    reference, prediction = np.zeros((2, 12, 4, 4), dtype=bool)
    reference[2:8] = True  # lower 2-3, middle 4-5, upper 6-7
    prediction[2:4] = prediction[4:6, :2] = True
    prediction[10] = True  # above the reference: the upper third's

    assert dice_by_third(prediction, reference) == (1.0, pytest.approx(2 / 3), 0.0)


def test_two_slices_have_no_thirds() -> None:
    reference = np.zeros((5, 2, 2), dtype=bool)
    reference[1:3] = True

    assert dice_by_third(reference, reference) is None
    assert dice_by_third(reference, np.zeros_like(reference)) is None


@given(st.integers(3, 9), st.integers(0, 10**6))
def test_thirds_of_equal_overlap_have_the_dice_of_the_whole(depth: int, seed: int) -> None:
    plane, other = np.random.default_rng(seed).random((2, 4, 4)) < 0.6
    reference, prediction = np.repeat(plane[None], depth, 0), np.repeat(other[None], depth, 0)

    thirds = dice_by_third(prediction, reference)

    if plane.any():
        assert thirds == pytest.approx((dice(other, plane),) * 3)
