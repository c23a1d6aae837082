from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from crisp_core.numerics.appearance import (
    BIAS_POWERS,
    AppearanceDraw,
    apply_appearance,
    draw_appearance,
    with_bias_field,
    with_blur,
    with_contrast,
    with_gamma,
    with_noise,
)


def images(seed: int = 0, count: int = 3, channels: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2.4 * torch.rand(count, channels, 12, 9, generator=generator) - 1.2


def drawn(seed: int = 0, count: int = 3, probability: float = 1.0) -> AppearanceDraw:
    generator = torch.Generator().manual_seed(seed)
    return draw_appearance(count, generator=generator, probability=probability)


def part(draw: AppearanceDraw, index: int) -> AppearanceDraw:
    return replace(draw, **{f.name: getattr(draw, f.name)[[index]] for f in fields(draw)})


def gamma_by_the_book(x: np.ndarray, gamma: float, side: int) -> np.ndarray:
    u = (side * x + 1) / 2
    bent = side * np.sign(u) * np.abs(u) ** gamma
    return (bent - bent.mean()) / bent.std() * x.std() + x.mean()


@pytest.mark.parametrize("side", [1, -1])
def test_gamma_bends_one_half_of_the_range_and_keeps_mean_and_spread(side: int) -> None:
    x = images(count=2)

    bent = with_gamma(x, torch.tensor([2.0, 1.0]), torch.tensor([float(side), 1.0]))

    expected = gamma_by_the_book(x[0].double().numpy(), 2.0, side)
    np.testing.assert_allclose(bent[0], expected, atol=1e-5)
    assert torch.equal(bent[1], x[1])


def test_a_gamma_never_changes_which_of_two_voxels_is_brighter() -> None:
    x = torch.linspace(-1, 1, 108).reshape(1, 1, 12, 9)

    for side in (1.0, -1.0):
        bent = with_gamma(x, torch.tensor([1.4]), torch.tensor([side]))
        assert (bent.flatten().diff() > 0).all()


def test_contrast_stretches_about_the_mean_of_the_sample() -> None:
    x = torch.tensor([0.0, 0.2]).reshape(1, 2, 1, 1)

    stretched = with_contrast(x, torch.tensor([2.0]), torch.tensor([0.5]))

    torch.testing.assert_close(stretched.flatten(), torch.tensor([0.4, 0.8]))  # 0.1 -+ 0.2 + 0.5


def test_a_bias_field_along_the_rows_is_an_exponential() -> None:
    bias = torch.zeros(1, len(BIAS_POWERS))
    bias[0, BIAS_POWERS.index((1, 0))] = 0.3

    field = with_bias_field(torch.zeros(1, 1, 3, 2), bias) + 1  # u = 1/2 doubled

    expected = torch.tensor([-0.3, 0.0, 0.3]).exp()
    torch.testing.assert_close(field[0, 0], expected[:, None].expand(3, 2))


def test_blur_agrees_with_scipy() -> None:
    x = images()

    blurred = with_blur(x, torch.tensor([0.0, 0.8, 1.4]))

    for sample, sigma, radius in ((1, 0.8, 3), (2, 1.4, 5)):  # ceil(3 * sigma)
        for channel in range(2):
            expected = gaussian_filter(x[sample, channel], sigma, mode="nearest", radius=radius)
            np.testing.assert_allclose(blurred[sample, channel], expected, atol=1e-5)
    assert torch.equal(blurred[0], x[0])


def test_noise_has_the_drawn_spread_and_depends_on_the_seed_alone() -> None:
    x = torch.zeros(2, 1, 100, 100)
    sd, seeds = torch.tensor([0.1, 0.1]), torch.tensor([5, 6])

    noisy = with_noise(x, sd, seeds)

    assert noisy.std().item() == pytest.approx(0.1, rel=0.03)
    assert not torch.equal(noisy[0], noisy[1])
    assert torch.equal(with_noise(x[:1], sd[:1], seeds[:1])[0], noisy[0])


def test_without_a_chosen_operation_nothing_changes() -> None:
    x = images()

    changed = apply_appearance(x, drawn(probability=0))

    torch.testing.assert_close(changed, x, atol=1e-6, rtol=0)


@given(st.integers(0, 999))
@settings(deadline=None)
def test_a_sample_does_not_depend_on_its_batch(seed: int) -> None:
    x, draw = images(seed), drawn(seed, probability=0.7)

    together = apply_appearance(x, draw)

    alone = torch.cat([apply_appearance(x[[i]], part(draw, i)) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_equal_slices_of_a_stack_change_alike_apart_from_noise() -> None:
    one = images(channels=1)
    draw = replace(drawn(), noise_sd=torch.zeros(3))

    first, second = apply_appearance(one.expand(-1, 2, -1, -1), draw).unbind(1)

    torch.testing.assert_close(first, second)


def test_the_input_is_left_alone_and_the_same_draw_gives_the_same_image() -> None:
    x = images()
    before = x.clone()

    first, second = (apply_appearance(x, drawn(7)) for _ in range(2))

    assert torch.equal(x, before)
    assert torch.equal(first, second)
    assert not torch.equal(first, x)


def test_operations_take_part_as_often_as_asked() -> None:
    draw = drawn(count=2000, probability=0.25)

    for changed in (draw.gamma != 1, draw.contrast != 1, draw.noise_sd > 0, draw.bias[:, 0] != 0):
        assert changed.float().mean().item() == pytest.approx(0.25, abs=0.05)
    assert draw.gamma.min() >= 1 / 1.5 - 1e-6
    assert draw.gamma.max() <= 1.5 + 1e-6
    assert len(set(draw.noise_seed.tolist())) == 2000


def test_a_draw_for_another_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="3 samples but 2 sets"):
        apply_appearance(images(), drawn(count=2))
