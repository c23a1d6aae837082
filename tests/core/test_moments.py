from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crisp_core.numerics.moments import (
    Moments,
    joined_moments,
    limits_of_agreement,
    moments_of,
)

numbers = st.lists(st.floats(-1e6, 1e6), max_size=20)


@given(st.lists(numbers, max_size=6))
def test_the_sites_moments_joined_equal_the_pooled_ones(sites: list[list[float]]) -> None:
    pooled = np.array([value for site in sites for value in site])

    joined = joined_moments(moments_of(site) for site in sites)

    assert joined.count == pooled.size
    if pooled.size:
        assert joined.mean == pytest.approx(pooled.mean(), rel=1e-9, abs=1e-9)
    if pooled.size > 1:
        assert joined.sd == pytest.approx(pooled.std(ddof=1), rel=1e-9, abs=1e-6)


def test_values_far_from_zero_keep_their_digits() -> None:
    sites = [[1e9 + 1, 1e9 + 2], [1e9 + 3]]

    assert joined_moments(map(moments_of, sites)).sd == pytest.approx(1.0, abs=1e-9)


def test_one_number_has_no_spread_and_none_has_no_limits() -> None:
    assert moments_of([3.0]).sd is None
    assert limits_of_agreement(Moments()) is None


def test_limits_lie_two_standard_deviations_around_the_bias() -> None:
    limits = limits_of_agreement(moments_of([1.0, 3.0]))  # mean 2, sd sqrt(2)

    assert limits.bias == 2.0
    assert (limits.low, limits.high) == pytest.approx((2 - 1.96 * 2**0.5, 2 + 1.96 * 2**0.5))


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        moments_of([1.0, float("nan")])
