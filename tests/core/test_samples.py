from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from crisp_core.numerics.recipes import RECIPES, apply_look, draw_look
from crisp_core.numerics.samples import changed, convolved, weighted_rows
from crisp_core.numerics.tone import with_curve

seeds = st.integers(0, 10**6)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def add(image: torch.Tensor, number: float) -> None:
    image += number


def scale(image: torch.Tensor, numbers: torch.Tensor) -> None:
    image *= numbers.sum()


def test_every_sample_passes_all_steps_with_its_own_parameters() -> None:
    x = torch.ones(2, 1, 1, 1)

    result = changed(
        x, (add, torch.tensor([1.0, 2.0])), (scale, torch.tensor([[1.0, 1.0], [1, 9]]))
    )

    assert result.flatten().tolist() == [4.0, 30.0]  # (1 + 1) * 2 and (1 + 2) * 10
    assert x.flatten().tolist() == [1.0, 1.0]


def test_parameters_for_another_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="2 samples but"):
        changed(torch.ones(2, 1, 1, 1), (add, torch.tensor([1.0])))


@settings(deadline=None, max_examples=25)
@given(seeds)
def test_weighted_rows_agree_with_a_loop(seed: int) -> None:
    planes, weights = random(2, 5, 3, seed=seed), random(4, 3, seed=seed + 1)
    places = torch.randint(5, (4, 3), generator=torch.Generator().manual_seed(seed))

    rows = weighted_rows(planes, places, weights)

    for channel in range(2):
        for row in range(4):
            expected = sum(
                weight * planes[channel, place]
                for weight, place in zip(weights[row], places[row], strict=True)
            )
            torch.testing.assert_close(rows[channel, row], expected)


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize(("entering", "leaving"), [(1, 2), (2, 2), (2, 1)])
def test_convolved_agrees_with_torch(size: int, entering: int, leaving: int) -> None:
    maps, kernels = random(3, entering, 7, 6), random(leaving, entering, size, size, seed=1)

    result = convolved(maps, kernels)

    torch.testing.assert_close(result, functional.conv2d(maps, kernels, padding=size // 2))


@settings(deadline=None, max_examples=25)
@given(seeds)
def test_a_curve_agrees_with_numpy_and_moves_what_lies_beyond(seed: int) -> None:
    x, curve = 1.5 * random(1, 2, 4, 5, seed=seed), random(1, 9, seed=seed + 1)
    inside = x.numpy().clip(-1, 1)

    bent = with_curve(x, curve)

    expected = np.interp(inside, np.linspace(-1, 1, 9), curve[0].numpy()) + x.numpy() - inside
    np.testing.assert_allclose(bent, expected, atol=1e-6)


def test_a_neutral_look_changes_no_bit() -> None:
    x = random(3, 1, 8, 8).float()
    look = draw_look(RECIPES["none"], 3, generator=torch.Generator().manual_seed(0))

    assert torch.equal(apply_look(x, look), x)
    assert apply_look(x, look) is not x
