from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from crisp_core.numerics.drift import (
    Sample,
    beyond_medians,
    beyond_share,
    bin_counts,
    detectable_shift,
    kolmogorov_smirnov,
    psi,
    rate_change,
    sample_of,
)
from crisp_core.numerics.significance import benjamini_hochberg

HALVES = Sample(count=20, mean=0.0, sd=1.0, levels=(0.5,), quantiles=(0.0,))


def normal(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, count)


def test_ten_to_nineteen_cases_keep_their_median_alone() -> None:
    kept = sample_of([1.0] * 5 + [3.0] * 5)

    assert (kept.levels, kept.quantiles) == ((0.5,), (2.0,))
    assert (kept.count, kept.mean, kept.sd) == (10, 2.0, pytest.approx(np.sqrt(10 / 9)))


@settings(max_examples=30)
@given(st.integers(10, 400))
def test_at_least_five_cases_stand_between_any_two_numbers_that_are_kept(count: int) -> None:
    values = normal(count, seed=count)

    kept = sample_of(values)

    assert min(bin_counts(values, kept)) >= 5 - 1  # a quantile between two cases takes one along
    assert len(kept.levels) <= 9
    assert values.min() < kept.quantiles[0]
    assert kept.quantiles[-1] < values.max()


@pytest.mark.parametrize("values", [[1.0] * 9, [*[1.0] * 10, float("nan")]])
def test_too_few_or_missing_values_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least 10 finite values"):
        sample_of(values)


def test_ks_is_the_largest_gap_between_the_shares_below_a_decile() -> None:
    window = [-1.0] * 3 + [1.0] * 17

    distance = kolmogorov_smirnov(window, HALVES)

    assert distance.value == pytest.approx(0.5 - 3 / 20)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0, 2.0])
def test_ks_finds_at_most_what_the_whole_samples_show_and_little_less(shift: float) -> None:
    before, now = normal(400, seed=1), normal(200, seed=2, shift=shift)

    ours, whole = kolmogorov_smirnov(now, sample_of(before)), ks_2samp(now, before)

    assert ours.value <= whole.statistic + 1e-9
    assert ours.value > whole.statistic - 0.1 - 1 / 200  # the width of a bin
    assert ours.p >= whole.pvalue * 0.99 or ours.p < 1e-30


def test_psi_of_a_window_that_changed_sides_by_hand() -> None:
    window = [-1.0] * 5 + [1.0] * 15

    index = psi(window, HALVES)

    now, before = (15 + 0.5) / 21, (10 + 0.5) / 21
    above = (now - before) * np.log(now / before)
    below = ((1 - now) - (1 - before)) * np.log((1 - now) / (1 - before))
    assert index.value == pytest.approx(above + below)


def test_psi_merges_bins_until_five_cases_are_expected_in_each() -> None:
    before, now = normal(100, seed=1), normal(10, seed=2)
    kept = sample_of(before)
    halves = Sample(kept.count, kept.mean, kept.sd, (0.5,), (kept.quantiles[4],))

    assert len(kept.quantiles) == 9
    assert psi(now, kept) == psi(now, halves)


def test_a_reference_of_few_different_values_makes_no_empty_bin() -> None:
    kept = sample_of([8.0] * 90 + [10.0] * 10)

    same, other = [8.0] * 36 + [10.0] * 4, [8.0] * 10 + [10.0] * 30

    assert (kept.levels, kept.quantiles) == ((0.9,), (8.0,))
    assert psi(same, kept).value < 0.01
    assert psi(other, kept).value > 0.2
    assert kolmogorov_smirnov(same, kept).value == pytest.approx(0)
    assert kolmogorov_smirnov(other, kept).value == pytest.approx(0.9 - 0.25)


def test_where_nine_of_ten_cases_are_the_largest_no_quantile_is_left() -> None:
    assert sample_of([3.0] + [8.0] * 19).quantiles == ()


@settings(max_examples=10)
@given(st.floats(0.1, 50), st.floats(-20, 20))
def test_another_unit_changes_no_distance(scale: float, offset: float) -> None:
    before, now = normal(60, seed=3), normal(40, seed=4, shift=0.4)
    other = sample_of(before * scale + offset)

    assert kolmogorov_smirnov(now * scale + offset, other).p == pytest.approx(
        kolmogorov_smirnov(now, sample_of(before)).p
    )
    assert psi(now * scale + offset, other) == pytest.approx(psi(now, sample_of(before)))


def test_tests_alarm_about_as_rarely_as_they_say_where_nothing_moved() -> None:
    """500 windows of 40 cases; three standard errors at 5 % are 0.03."""
    rng = np.random.default_rng(7)
    pairs = [(rng.normal(size=60), rng.normal(size=40)) for _ in range(500)]
    kept = [(sample_of(before), now) for before, now in pairs]

    ks = np.mean([kolmogorov_smirnov(now, one).p < 0.05 for one, now in kept])
    index = np.mean([psi(now, one).p < 0.05 for one, now in kept])

    assert 0.01 < ks < 0.05 + 0.03  # fewer: deciles alone are compared
    assert 0.01 < index < 0.05 + 0.03


def test_a_shift_of_one_deviation_is_found_nearly_always() -> None:
    rng = np.random.default_rng(8)
    pairs = [(rng.normal(size=60), rng.normal(1, 1, size=40)) for _ in range(60)]

    found = [kolmogorov_smirnov(now, sample_of(before)).p < 0.01 for before, now in pairs]

    assert np.mean(found) > 0.85


def test_all_cases_beyond_a_median_of_many_are_as_rare_as_heads_in_a_row() -> None:
    p = beyond_medians(0, 10, 10, 10**7, 10**7)

    assert p == pytest.approx(2 * 0.5**10, rel=1e-4)


def test_a_median_of_one_case_says_little() -> None:
    # the largest of two: one new case lies above a single old one half the time, ten 1/11
    assert beyond_medians(0, 10, 10, 1, 1) == pytest.approx(2 / 11)


def test_windows_like_a_source_lie_beyond_its_median_as_rarely_as_p_says() -> None:
    rng = np.random.default_rng(9)
    medians = np.median(rng.normal(size=(4000, 15)), axis=1)
    above = (rng.normal(size=(4000, 30)) > medians[:, None]).sum(axis=1)

    p = np.array([beyond_medians(30 - k, k, 30, 15, 15) for k in range(31)])

    assert 0.02 < np.mean(p[above] < 0.05) < 0.05 + 0.01  # fewer: counts are whole numbers


@pytest.mark.parametrize("counts", [(-1, 0, 5, 9, 9), (3, 3, 5, 9, 9), (1, 1, 5, 0, 9)])
def test_counts_that_cannot_be_are_refused(counts: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="impossible"):
        beyond_medians(*counts)


def test_thirty_of_forty_cases_are_no_quarter() -> None:
    assert beyond_share(30, 40, 0.25) < 1e-9
    assert beyond_share(0, 40, 0.25) == 1


def test_a_rate_is_compared_by_fishers_exact_test() -> None:
    # the lady tasting tea: 3 of 4 against 1 of 4 gives 0.486 two-sided
    assert rate_change(3, 4, 1, 4) == pytest.approx(0.4857, abs=1e-4)


def test_more_cases_find_a_smaller_shift() -> None:
    assert detectable_shift(10, 20, 0.01) > detectable_shift(40, 20, 0.01)
    # the two quantiles of the normal distribution are 2.576 and 0.842
    assert detectable_shift(50, 50, 0.01) == pytest.approx((2.576 + 0.842) * 0.2, abs=1e-3)


def test_benjamini_and_hochbergs_own_example() -> None:
    """Their fifteen p values of 1995: at 5 % the first four are findings, by Bonferroni three."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]

    adjusted = benjamini_hochberg(p)

    assert sum(value <= 0.05 for value in adjusted) == 4
    assert adjusted[3] == pytest.approx(0.0095 * 15 / 4)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_adjusted_values_keep_their_order_and_never_fall(p: list[float]) -> None:
    adjusted = benjamini_hochberg(p)

    assert all(b - 1e-12 <= a <= 1 for a, b in zip(adjusted, p, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_a_p_value_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="p values in"):
        benjamini_hochberg([1.1])
