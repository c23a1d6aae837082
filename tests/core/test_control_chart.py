from __future__ import annotations

import numpy as np
import pytest

from crisp_core.numerics.control_chart import (
    chart,
    ewma,
    normal_null,
    peaks_of,
    rate_moments,
    rate_null,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_an_average_by_hand() -> None:
    averages = ewma(np.array([2.0, 0.0, 4.0]), start=0.0, smoothing=0.5)

    assert averages.tolist() == [1.0, 0.5, 2.25]


def test_averages_agree_with_the_sum_of_weights() -> None:
    values = rng().normal(size=12)

    averages = ewma(values, start=3.0)

    weights = 0.2 * 0.8 ** np.arange(11, -1, -1)
    assert averages[-1] == pytest.approx(weights @ values + 0.8**12 * 3.0)


def test_limits_widen_towards_their_final_distance() -> None:
    peaks = peaks_of(normal_null(60, 10_000, rng(), draws=2000))

    one = chart([0.0] * 60, 0.0, 1.0, peaks, alpha=0.01)

    widths = np.array(one.high)
    assert (np.diff(widths) > 0).all()
    # the first average is 0.2 of the first value, the last has variance 0.2 / 1.8
    assert widths[0] / widths[-1] == pytest.approx(0.2 / np.sqrt(0.2 / 1.8), rel=1e-4)
    assert one.low == pytest.approx(-widths)
    assert (one.first_outside, one.p) == (None, 1.0)


def test_a_known_mean_and_a_long_window_ask_for_the_textbooks_width() -> None:
    """L = 2.86 at lambda = 0.2 has a mean run of 370: 1 - exp(-60 / 370) alarms in 60 cases."""
    peaks = peaks_of(normal_null(60, 10**6, rng(1), draws=8000))

    assert np.mean(peaks > 2.86) == pytest.approx(1 - np.exp(-60 / 370), abs=0.03)


def test_a_step_is_found_soon_after_it_happens() -> None:
    values = [*rng(2).normal(size=20), *rng(3).normal(2, 1, size=20)]
    peaks = peaks_of(normal_null(40, 60, rng()))

    one = chart(values, 0.0, 1.0, peaks, alpha=0.01)

    assert one.first_outside is not None
    assert 20 <= one.first_outside < 30
    assert one.p < 0.01


def test_a_reference_of_few_cases_needs_wider_limits() -> None:
    few, many = (peaks_of(normal_null(40, count, rng())) for count in (12, 1000))

    assert np.quantile(few, 0.99) > 1.3 * np.quantile(many, 0.99)


@pytest.mark.parametrize("reference_count", [12, 60])
def test_windows_in_which_nothing_moved_alarm_as_rarely_as_alpha_says(reference_count: int) -> None:
    peaks = peaks_of(normal_null(40, reference_count, rng(4)))
    draws = rng(5)
    alarms = 0
    for _ in range(600):
        before, values = draws.normal(5, 2, reference_count), draws.normal(5, 2, 40)
        one = chart(values.tolist(), before.mean(), before.std(ddof=1), peaks, alpha=0.05)
        alarms += one.first_outside is not None
        assert (one.p <= 0.05) == (one.first_outside is not None) or 0.049 < one.p < 0.051

    assert alarms / 600 == pytest.approx(0.05, abs=0.027)


def test_flags_in_which_nothing_moved_alarm_at_most_as_often() -> None:
    peaks, draws, alarms = peaks_of(rate_null(40, 10, 100, rng(6))), rng(7), 0
    mean, sd = rate_moments(10, 100)
    for _ in range(600):
        flags = (draws.random(40) < 0.1).astype(float).tolist()
        alarms += chart(flags, mean, sd, peaks, alpha=0.05).first_outside is not None

    assert alarms / 600 < 0.07


def test_flags_that_pile_up_are_found() -> None:
    peaks = peaks_of(rate_null(40, 10, 100, rng(6)))
    mean, sd = rate_moments(10, 100)

    assert chart([0.0] * 30 + [1.0] * 10, mean, sd, peaks, alpha=0.01).p < 0.01


@pytest.mark.parametrize(("values", "sd"), [([], 1.0), ([1.0], 0.0)])
def test_nothing_to_follow_is_refused(values: list[float], sd: float) -> None:
    with pytest.raises(ValueError, match="expected values and sd > 0"):
        chart(values, 0.0, sd, np.ones(3), alpha=0.05)
