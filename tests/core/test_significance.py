from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.numerics.significance import holm, paired_p

shares = st.floats(0, 1)


def exact_p(differences: np.ndarray) -> float:
    """Every assignment of signs is equally likely if the methods are equal."""
    ranks = np.abs(differences).argsort().argsort() + 1
    seen = abs(float((np.sign(differences) * ranks).sum()))
    signs = itertools.product((-1, 1), repeat=len(ranks))
    return float(np.mean([abs(np.dot(sign, ranks)) >= seen for sign in signs]))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=9, unique_by=abs))
def test_p_counts_the_signs_that_are_at_least_as_lopsided(differences: list[int]) -> None:
    apart = np.array([d for d in differences if d], dtype=float)
    if apart.size:
        assert paired_p(apart, np.zeros_like(apart)) == pytest.approx(exact_p(apart))


def test_equal_methods_have_p_one_and_order_does_not_matter() -> None:
    one, other = [0.9, 0.8, 0.4], [0.7, 0.9, 0.1]

    assert paired_p(one, one) == 1.0
    assert paired_p(one, other) == paired_p(other, one)


def test_patients_without_a_difference_do_not_count() -> None:
    assert paired_p([1, 2, 3, 7, 7], [0, 0, 0, 7, 7]) == paired_p([1, 2, 3], [0, 0, 0])


@pytest.mark.parametrize(("first", "second"), [([], []), ([1], [1, 2]), ([np.nan], [1])])
def test_pairs_that_are_none_are_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="finite pairs"):
        paired_p(first, second)


def test_the_smallest_p_pays_for_every_comparison_and_the_order_of_ranks_stays() -> None:
    assert holm([0.02, 0.01]) == pytest.approx((0.02, 0.02))  # 2 x 0.01, then max(1 x 0.02, 0.02)
    assert holm([0.6, 0.5]) == (1.0, 1.0)
    assert holm([]) == ()


@given(st.lists(shares, min_size=1, max_size=8))
def test_adjusting_never_makes_a_finding_stronger_nor_swaps_two(values: list[float]) -> None:
    adjusted = holm(values)

    assert all(value <= after <= 1 for value, after in zip(values, adjusted, strict=True))
    pairs = itertools.combinations(zip(values, adjusted, strict=True), 2)
    assert all((a[0] <= b[0]) <= (a[1] <= b[1]) for a, b in pairs)


def test_a_p_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="p values"):
        holm([0.5, 1.5])
