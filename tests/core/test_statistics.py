from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.numerics.statistics import Interval, mean_interval


def interval(values: list[float], clusters: list[str], samples: int = 2000) -> Interval:
    return mean_interval(values, clusters, samples=samples, generator=np.random.default_rng(0))


def test_the_figures_of_four_values_of_three_patients() -> None:
    result = interval([1, 3, 2, 2], ["a", "a", "b", "c"])

    assert result.mean == 2
    assert result.sd == pytest.approx(math.sqrt((1 + 1) / 3))
    assert (result.count, result.cluster_count) == (4, 3)


def test_two_patients_of_one_case_reach_from_one_to_the_other() -> None:
    result = interval([0.0, 1.0], ["a", "b"])

    assert (result.low, result.high) == (0.0, 1.0)  # both ends are drawn in a quarter of samples


def test_one_patient_has_a_mean_and_no_interval() -> None:
    assert interval([1, 2, 3], ["a", "a", "a"]) == Interval(2, None, None, 1, 3, 1)
    assert interval([1], ["a"]) == Interval(1, None, None, None, 1, 1)


def test_copies_of_a_case_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(1).normal(size=12).tolist()
    patients = [str(number) for number in range(12)]

    once, thrice = interval(values, patients), interval(values * 3, patients * 3)

    assert thrice.low == pytest.approx(once.low)
    assert thrice.high == pytest.approx(once.high)


def test_the_bootstrap_agrees_with_a_loop() -> None:
    values, clusters = [0.1, 0.5, 0.9, 0.4, 0.7], ["a", "a", "b", "c", "c"]
    groups = [[0.1, 0.5], [0.9], [0.4, 0.7]]

    result = interval(values, clusters, samples=50)

    draws = np.random.default_rng(0).integers(3, size=(50, 3))
    means = [np.mean([v for g in draw for v in groups[g]]) for draw in draws]
    assert result.low == pytest.approx(np.percentile(means, 2.5))
    assert result.high == pytest.approx(np.percentile(means, 97.5))


@given(st.lists(st.tuples(st.floats(-5, 5), st.sampled_from("abcd")), min_size=1, max_size=20))
@settings(deadline=None)
def test_the_interval_lies_between_the_extremes(cases: list[tuple[float, str]]) -> None:
    values, clusters = [v for v, _ in cases], [c for _, c in cases]

    result = interval(values, clusters, samples=100)

    if result.low is not None and result.high is not None:
        assert min(values) - 1e-9 <= result.low <= result.high <= max(values) + 1e-9


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        patient = generator.normal(size=30)
        values = np.repeat(patient, 2) + 0.1 * generator.normal(size=60)
        result = mean_interval(
            values.tolist(), np.repeat(range(30), 2).tolist(), samples=300, generator=generator
        )
        assert result.low is not None
        assert result.high is not None
        hits += result.low <= 0 <= result.high

    assert 0.86 < hits / 200 < 0.99  # percentile intervals of 30 patients cover a little under 95 %


@pytest.mark.parametrize(
    ("values", "clusters"), [([], []), ([1.0], ["a", "b"]), ([math.nan, 1.0], ["a", "b"])]
)
def test_values_that_do_not_fit_are_refused(values: list[float], clusters: list[str]) -> None:
    with pytest.raises(ValueError, match="finite values"):
        interval(values, clusters)


@pytest.mark.parametrize(("samples", "level"), [(0, 0.95), (10, 1.0)])
def test_samples_and_level_are_checked(samples: int, level: float) -> None:
    generator = np.random.default_rng(0)

    with pytest.raises(ValueError, match="samples must be"):
        mean_interval([1, 2], "ab", samples=samples, generator=generator, level=level)
