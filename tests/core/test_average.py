from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crisp_core.numerics.average import weighted_mean

Array = np.ndarray[Any, Any]
numbers = arrays(np.float32, (2, 3), elements=st.floats(-1e3, 1e3, width=32))
cohorts = st.lists(st.tuples(numbers, st.integers(1, 500)), min_size=1, max_size=5)


def split(cohort: list[tuple[Array, int]]) -> tuple[list[dict[str, Array]], list[float]]:
    return [{"w": array} for array, _ in cohort], [float(weight) for _, weight in cohort]


def mean_by_the_book(updates: list[dict[str, Array]], weights: list[float]) -> Array:
    total = sum(weights)
    return sum(u["w"].astype(np.float64) * w for u, w in zip(updates, weights, strict=True)) / total


@given(cohorts)
def test_weighted_mean_agrees_with_the_book(cohort: list[tuple[Array, int]]) -> None:
    updates, weights = split(cohort)

    mean = weighted_mean(updates, weights)["w"]

    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, mean_by_the_book(updates, weights), rtol=1e-6, atol=1e-30)


@given(cohorts, st.floats(0.01, 100))
def test_neither_site_order_nor_weight_scale_matters(
    cohort: list[tuple[Array, int]], scale: float
) -> None:
    updates, weights = split(cohort)

    mean = weighted_mean(updates, weights)["w"]
    turned = weighted_mean(updates[::-1], [scale * w for w in weights[::-1]])["w"]

    np.testing.assert_allclose(turned, mean, rtol=3e-7, atol=1e-9)


@given(cohorts)
def test_the_mean_lies_between_the_extremes(cohort: list[tuple[Array, int]]) -> None:
    updates, weights = split(cohort)

    mean = weighted_mean(updates, weights)["w"]

    stacked = np.stack([u["w"] for u in updates])
    slack = 1e-6 * np.abs(stacked).max()
    assert (mean >= stacked.min(0) - slack).all()
    assert (mean <= stacked.max(0) + slack).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_one_site_alone_returns_itself_bit_for_bit(dtype: type[np.floating[Any]]) -> None:
    array = np.array([0.1, -0.0, 1e-7, math.pi], dtype=dtype)

    mean = weighted_mean([{"w": array}], [7])["w"]

    assert mean.dtype == dtype
    assert mean.tobytes() == array.tobytes()
    assert not np.shares_memory(mean, array)


def test_integer_arrays_take_the_maximum() -> None:
    updates = [{"steps": np.int64([3, 9])}, {"steps": np.int64([5, 1])}]

    mean = weighted_mean(updates, [1, 100])["steps"]

    assert mean.dtype == np.int64
    assert mean.tolist() == [5, 9]


def test_a_scalar_keeps_its_shape() -> None:
    updates = [{"s": np.array(1.0, np.float32)}, {"s": np.array(3.0, np.float32)}]

    assert weighted_mean(updates, [1, 1])["s"].shape == ()


def test_updates_are_seen_once_left_alone_and_keep_the_order_of_their_names() -> None:
    original = {"z": np.float32([1]), "a": np.float32([2])}

    def stream() -> Iterator[dict[str, Array]]:
        yield original
        yield {"a": np.float32([4]), "z": np.float32([5])}

    mean = weighted_mean(stream(), [1, 1])

    assert list(mean) == ["z", "a"]
    assert original["z"].tolist() == [1]
    assert (mean["z"].item(), mean["a"].item()) == (3, 3)


@pytest.mark.parametrize("weights", [[], [1], [1, 1, 1], [1, 0], [1, -1], [1, math.nan]])
def test_weights_that_do_not_fit_are_refused(weights: list[float]) -> None:
    updates = [{"w": np.float32([1])}, {"w": np.float32([2])}]

    with pytest.raises(ValueError, match=r"weights must be|argument"):
        weighted_mean(updates, weights)


@pytest.mark.parametrize(
    "odd",
    [{"v": np.float32([1])}, {"w": np.float32([1, 2])}, {"w": np.float64([1])}, {}],
)
def test_an_update_of_another_model_is_refused(odd: dict[str, Array]) -> None:
    with pytest.raises(ValueError, match="update 1"):
        weighted_mean([{"w": np.float32([1])}, odd], [1, 1])


def test_no_update_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        weighted_mean([], [1])
