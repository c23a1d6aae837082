from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from crisp_core.numerics.style import (
    LOW_FREQUENCIES,
    StyleDraw,
    apply_style,
    draw_style,
    with_frequencies,
    with_low_resolution,
    with_texture,
)
from crisp_core.numerics.tone import KNOTS, with_curve

seeds = st.integers(0, 10**6)


def images(seed: int = 0, count: int = 3, channels: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2.4 * torch.rand(count, channels, 24, 20, generator=generator) - 1.2


def drawn(seed: int = 0, count: int = 3, probability: float = 1.0) -> StyleDraw:
    generator = torch.Generator().manual_seed(seed)
    return draw_style(
        count,
        generator=generator,
        probability=probability,
        texture_probability=probability,
    )


def test_a_curve_through_three_points_bends_at_the_middle_one() -> None:
    x = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]).reshape(1, 1, 1, 5)

    bent = with_curve(x, torch.tensor([[-1.0, 0.5, 1.0]]))

    assert bent.flatten().tolist() == [-1.0, -0.25, 0.5, 0.75, 1.0]


def test_beyond_its_range_a_curve_moves_intensities_with_its_ends() -> None:
    x = torch.tensor([-1.5, 1.25]).reshape(1, 1, 1, 2)

    moved = with_curve(x, torch.tensor([[-0.5, 0.0, 0.5]]))

    assert moved.flatten().tolist() == [-1.0, 0.75]


@settings(deadline=None, max_examples=30)
@given(seeds)
def test_every_drawn_curve_rises_or_falls_throughout(seed: int) -> None:
    slopes = drawn(seed, count=8).curve.diff(dim=1)

    rising, falling = (slopes >= -1e-6).all(dim=1), (slopes <= 1e-6).all(dim=1)
    assert (rising | falling).all()


def test_half_of_the_bezier_curves_turn_dark_into_bright() -> None:
    curves = drawn(1, count=400).curve

    falling = float((curves[:, -1] < curves[:, 0]).float().mean())
    assert falling == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_the_same_draw_gives_the_same_images_and_leaves_what_came(probability: float) -> None:
    x = images()
    before, draw = x.clone(), drawn(probability=probability)

    once, again = apply_style(x, draw), apply_style(x, draw)

    assert torch.equal(once, again)
    assert torch.equal(x, before)
    assert once.shape == x.shape


def test_the_neutral_draw_changes_no_more_than_rounding() -> None:
    x = images()

    torch.testing.assert_close(apply_style(x, drawn(probability=0.0)), x, atol=1e-6, rtol=0)


def test_samples_do_not_depend_on_who_else_is_in_the_batch_but_for_the_partner() -> None:
    x, draw = images(), replace(drawn(), mix=torch.zeros(3))
    alone = StyleDraw(**{f.name: getattr(draw, f.name)[[1]] for f in fields(draw)})

    whole = apply_style(x, draw)[1]

    torch.testing.assert_close(apply_style(x[[1]], alone)[0], whole)


def test_mixing_with_oneself_is_nothing_and_with_another_keeps_the_phase() -> None:
    x = images(count=2, channels=1)
    partner = torch.tensor([0, 0])

    mixed = with_frequencies(x, partner, torch.tensor([1.0, 1.0]))

    torch.testing.assert_close(mixed[0], x[0], atol=1e-5, rtol=0)
    new, own, other = (torch.fft.fft2(image)[0] for image in (mixed[1], x[1], x[0]))
    assert abs(new[0, 0]) == pytest.approx(float(other[0, 0].abs()), rel=1e-4)
    assert float(new[1, 1].abs()) == pytest.approx(float(other[1, 1].abs()), rel=1e-4)
    torch.testing.assert_close(new[1, 1].angle(), own[1, 1].angle(), atol=1e-3, rtol=0)
    torch.testing.assert_close(new[10, 8], own[10, 8], atol=1e-3, rtol=1e-4)


def test_low_resolution_halves_the_number_of_different_columns() -> None:
    x = images(count=1, channels=1)

    coarse = with_low_resolution(x, torch.tensor([0.5]))

    assert coarse.shape == x.shape
    assert coarse[0, 0].diff(dim=1).abs().mean() < x[0, 0].diff(dim=1).abs().mean() / 1.5


@pytest.mark.parametrize("zoom", [0.5, 0.77])
def test_low_resolution_agrees_with_torch(zoom: float) -> None:
    x = images(count=1)
    size = (round(24 * zoom), round(20 * zoom))
    small = functional.interpolate(x, size=size, mode="nearest-exact")

    coarse = with_low_resolution(x, torch.tensor([zoom]))

    expected = functional.interpolate(small, size=(24, 20), mode="bicubic")
    torch.testing.assert_close(coarse, expected, atol=1e-5, rtol=0)


def test_mixing_a_block_agrees_with_the_whole_transform() -> None:
    x, share = images(count=2), 0.6
    spectra, reach = torch.fft.fft2(x), int(LOW_FREQUENCIES * 20)
    amplitude = spectra.abs().clone()
    rows = [*range(reach + 1), *range(24 - reach, 24)]
    columns = [*range(reach + 1), *range(20 - reach, 20)]
    block = torch.meshgrid(torch.tensor(rows), torch.tensor(columns), indexing="ij")
    own, other = spectra[0].abs()[:, *block], spectra[1].abs()[:, *block]
    amplitude[0][:, *block] = (1 - share) * own + share * other

    mixed = with_frequencies(x, torch.tensor([1, 1]), torch.tensor([share, 0.0]))

    expected = torch.fft.ifft2(torch.polar(amplitude[0], spectra[0].angle())).real
    torch.testing.assert_close(mixed[0], expected, atol=1e-5, rtol=0)
    assert torch.equal(mixed[1], x[1])


def test_a_texture_keeps_the_norm_at_full_share_and_all_at_none() -> None:
    x = images(count=2)

    textured = with_texture(x, torch.tensor([1.0, 0.0]), torch.tensor([3, 4]))

    assert float(textured[0].norm()) == pytest.approx(float(x[0].norm()), rel=1e-4)
    assert not torch.allclose(textured[0], x[0], atol=0.1)
    assert torch.equal(textured[1], x[1])


def test_a_draw_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="3 samples but 2"):
        apply_style(images(), drawn(count=2))


def test_curves_have_as_many_knots_as_they_say() -> None:
    assert drawn(count=5).curve.shape == (5, KNOTS)
