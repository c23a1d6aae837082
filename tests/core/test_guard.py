from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.numerics.guard import choose, guard_entropy


def with_foreground(p: float, pixels: int, size: int = 64) -> torch.Tensor:
    """`pixels` of one slice are foreground with probability p, the rest surely background."""
    foreground = torch.zeros(1, size * size)
    foreground[:, :pixels] = p
    planes = torch.stack([1 - foreground, foreground], dim=1)
    return planes.reshape(1, 2, size, size)


def entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def test_a_certain_prediction_has_no_entropy() -> None:
    assert guard_entropy(with_foreground(1.0, 100)) == 0


def test_entropy_is_counted_per_foreground_pixel() -> None:
    assert guard_entropy(with_foreground(0.5, 100)) == pytest.approx(100 * math.log(2) / 50)


@pytest.mark.parametrize(("size", "floor"), [(64, 20), (128, 80)])
def test_little_foreground_counts_as_the_floor_scaled_with_area(size: int, floor: int) -> None:
    u = guard_entropy(with_foreground(0.1, 10, size))

    assert u == pytest.approx(10 * entropy(0.1) / floor)  # its sum, 1, lies below the floor


@given(st.integers(0, 999))
@settings(deadline=None)
def test_slices_in_any_order_give_the_same_entropy(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 3, 8, 8, generator=generator, dtype=torch.float64)
    probabilities = logits.softmax(1)

    assert guard_entropy(probabilities) == pytest.approx(guard_entropy(probabilities.flip(0)))


def test_a_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        guard_entropy(torch.full((1, 2, 4, 4), math.nan))


def test_the_smallest_is_chosen_and_the_first_of_equals() -> None:
    assert choose([0.5, 0.2, 0.3]) == 1
    assert choose([0.2, 0.3, 0.2]) == 0


@pytest.mark.parametrize("entropies", [[], [0.1, math.nan]])
def test_there_is_no_choice_without_numbers(entropies: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one entropy"):
        choose(entropies)
