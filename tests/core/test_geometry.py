from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.numerics.geometry import AffineDraw, apply_affine, draw_affine, null_fill


def one_map(
    angle_deg: float = 0,
    scale: float = 1,
    shift: tuple[float, float] = (0, 0),
    *,
    mirrored: bool = False,
) -> AffineDraw:
    return AffineDraw(
        angle_rad=torch.tensor([math.radians(angle_deg)]),
        scale=torch.tensor([scale]),
        shift=torch.tensor([shift]),
        mirrored=torch.tensor([mirrored]),
    )


def image(height: int = 6, width: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 2, height, width, generator=generator)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_the_identity_changes_nothing(mode: str) -> None:
    x = image(5, 8)

    torch.testing.assert_close(apply_affine(x, one_map(), mode), x, atol=1e-5, rtol=0)


def test_a_quarter_turn_is_rot90() -> None:
    x = image()

    turned = apply_affine(x, one_map(angle_deg=90))

    torch.testing.assert_close(turned, torch.rot90(x, -1, (2, 3)), atol=1e-5, rtol=0)  # clockwise


def test_a_shift_moves_rows_down_and_columns_right_and_leaves_the_fill_behind() -> None:
    x = image(4, 5)

    moved = apply_affine(x, one_map(shift=(1 / 4, 2 / 5)), fill=-1.0)

    torch.testing.assert_close(moved[..., 1:, 2:], x[..., :-1, :-2], atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[..., 0, :], torch.full((1, 2, 5), -1.0))


def test_mirroring_exchanges_left_and_right() -> None:
    x = image(4, 5)

    moved = apply_affine(x, one_map(mirrored=True))

    torch.testing.assert_close(moved, x.flip(3), atol=1e-5, rtol=0)


def test_twice_the_scale_covers_four_times_the_area() -> None:
    square = torch.zeros(1, 1, 32, 32)
    square[..., 12:20, 12:20] = 1

    large = apply_affine(square, one_map(scale=2), "nearest")

    assert large.sum() == 16 * 16


def test_a_rotated_square_stays_a_square_in_an_oblong_image() -> None:
    square = torch.zeros(1, 1, 40, 80)
    square[..., 10:30, 30:50] = 1

    turned = apply_affine(square, one_map(angle_deg=90))

    torch.testing.assert_close(turned, square, atol=1e-4, rtol=0)


def test_the_order_is_mirror_turn_enlarge_shift() -> None:
    x = image(8, 8)
    draw = one_map(90, 1, (1 / 8, 0), mirrored=True)

    at_once = apply_affine(x, draw)
    in_steps = apply_affine(
        apply_affine(apply_affine(x, one_map(mirrored=True)), one_map(90)),
        one_map(shift=(1 / 8, 0)),
    )

    torch.testing.assert_close(at_once, in_steps, atol=1e-4, rtol=0)


def test_hints_are_the_null_hint_outside_the_image() -> None:
    hint = torch.full((1, 4, 6, 6), 0.5)

    moved = apply_affine(hint, one_map(shift=(0.5, 0)), fill=null_fill(2))

    assert moved[0, :, 0, 0].tolist() == [0, 0, 1, 1]


@given(st.integers(0, 999))
@settings(deadline=None)
def test_labels_and_their_one_hot_planes_move_alike(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (3, 1, 7, 9), generator=generator)
    planes = torch.cat([labels == c for c in range(3)], dim=1)
    draw = draw_affine(3, generator=generator, flip=True)
    outside_is_background = torch.tensor([1.0, 0.0, 0.0])

    moved = apply_affine(labels, draw, "nearest")
    moved_planes = apply_affine(planes, draw, "nearest", outside_is_background)

    assert moved.dtype == torch.int64
    assert moved_planes.dtype == torch.bool
    assert torch.equal(torch.cat([moved == c for c in range(3)], dim=1), moved_planes)


def test_every_sample_has_its_own_map() -> None:
    x = image().expand(2, -1, -1, -1)
    draw = draw_affine(2, generator=torch.Generator().manual_seed(0))

    first = AffineDraw(draw.angle_rad[:1], draw.scale[:1], draw.shift[:1], draw.mirrored[:1])

    moved = apply_affine(x, draw)
    torch.testing.assert_close(moved[:1], apply_affine(x[:1], first))
    assert not torch.equal(moved[0], moved[1])


def test_draws_stay_in_their_bounds_and_repeat_with_the_seed() -> None:
    first, second = (
        draw_affine(500, generator=torch.Generator().manual_seed(4), flip=True) for _ in range(2)
    )

    assert first.angle_rad.abs().max() <= math.radians(15)
    assert 0.85 <= first.scale.min() <= first.scale.max() <= 1.15
    assert first.shift.abs().max() <= 0.1 + 1e-6
    assert 150 < first.mirrored.sum() < 350
    assert torch.equal(first.scale, second.scale)
    assert not draw_affine(50, generator=torch.Generator().manual_seed(4)).mirrored.any()


def test_a_draw_for_another_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="1 samples but 2 maps"):
        apply_affine(image(), draw_affine(2, generator=torch.Generator()))
