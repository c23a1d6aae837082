from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rice

from crisp_core.numerics.phantom.case import PhantomCase, axis_mm, grid_affine, store_as
from crisp_core.numerics.phantom.imaging import (
    Tissue,
    acquired_window,
    balanced_signal,
    inversion_signal,
    magnitude_image,
    spoiled_signal,
    tomography_noise,
)
from crisp_core.numerics.phantom.shapes import ellipse_distance, paint
from crisp_core.numerics.phantom.waves import draw_waves, field

AXES = (axis_mm(5, 2.0), axis_mm(4, 3.0), axis_mm(3, 8.0))


def test_balanced_signal_at_ninety_degrees_is_density_over_one_plus_t1_over_t2() -> None:
    signal = balanced_signal(Tissue(0.9, 1000, 250), 90)

    assert signal == pytest.approx(0.9 / (1 + 1000 / 250))


def test_spoiled_signal_is_largest_at_the_ernst_angle() -> None:
    tissue = Tissue(1, 1000, 50)
    ernst = math.degrees(math.acos(math.exp(-10 / 1000)))

    below, best, above = (spoiled_signal(tissue, ernst + d, 10) for d in (-2, 0, 2))

    assert below < best > above


def test_inversion_at_ln2_times_t1_nulls_the_tissue() -> None:
    tissue = Tissue(1, 4000, 2000)

    signal = inversion_signal(tissue, 1e9, 4000 * math.log(2), 100)

    assert signal == pytest.approx(0, abs=1e-12)


def test_blood_is_brighter_than_muscle_when_balanced_and_darker_when_spoiled() -> None:
    blood, heart = Tissue(1, 1932, 275), Tissue(1, 1471, 47)

    assert balanced_signal(blood, 50) > balanced_signal(heart, 50)
    assert spoiled_signal(blood, 18, 6) < spoiled_signal(heart, 18, 6)


@pytest.mark.parametrize("amplitude", [0.0, 1.0, 5.0])
def test_magnitude_of_a_constant_signal_has_the_rician_mean(amplitude: float) -> None:
    signal = np.full((64, 64, 6), amplitude, np.float32)
    window = acquired_window((64, 64), (0.8, 0.7))

    image = magnitude_image(signal, window, 1.0, generator=np.random.default_rng(1))

    assert image.mean() == pytest.approx(rice.mean(amplitude), rel=0.02)


def test_without_noise_a_constant_signal_stays_what_it_is() -> None:
    signal = np.full((8, 10, 2), 3.0, np.float32)

    image = magnitude_image(
        signal, acquired_window((8, 10), (0.5, 0.6)), 0.0, generator=np.random.default_rng(0)
    )

    np.testing.assert_allclose(image, signal, rtol=1e-6)


@pytest.mark.parametrize("sharpness", [0.2, 0.9])
def test_tomography_noise_has_its_standard_deviation_and_no_mean(sharpness: float) -> None:
    noise = tomography_noise((48, 40, 5), 30.0, sharpness, generator=np.random.default_rng(3))

    assert noise.std() == pytest.approx(30, rel=1e-3)
    np.testing.assert_allclose(noise.mean((0, 1)), 0, atol=1e-3)


def test_a_sharper_kernel_has_finer_grain() -> None:
    def grain(sharpness: float) -> float:
        noise = tomography_noise((64, 64, 4), 1.0, sharpness, generator=np.random.default_rng(0))
        return float(np.abs(np.diff(noise, axis=0)).mean())

    assert grain(0.1) < grain(0.5) < grain(1.0)


def test_field_agrees_with_the_sum_of_cosines() -> None:
    waves = draw_waves((20, 60), 1.5, np.random.default_rng(2), count=5)

    fast = field(waves, *AXES)

    slow = np.zeros((5, 4, 3))
    for (i, x), (j, y), (k, z) in (
        (a, b, c)
        for a in enumerate(AXES[0])
        for b in enumerate(AXES[1])
        for c in enumerate(AXES[2])
    ):
        turns = waves.vectors @ np.array([x, y, z], float) + waves.phases
        slow[i, j, k] = (waves.amplitude * np.cos(turns)).sum()
    np.testing.assert_allclose(fast, slow, atol=1e-5)


def test_a_finer_grid_shows_the_same_field() -> None:
    waves = draw_waves((20, 60), 1.0, np.random.default_rng(2))
    fine = np.linspace(-8, 8, 9, dtype=np.float32)

    np.testing.assert_allclose(
        field(waves, fine, fine, fine)[::2, ::2, ::2],
        field(waves, fine[::2], fine[::2], fine[::2]),
        atol=1e-5,
    )


def test_paint_is_full_inside_half_on_the_edge_and_nothing_outside() -> None:
    canvas = np.zeros((3, 1, 1), np.float32)

    paint(canvas, np.float32([-9, 0, 9]).reshape(3, 1, 1), 4.0, 1.0)

    assert canvas.ravel().tolist() == [4, 2, 0]


@given(st.floats(0.5, 40), st.floats(-3, 3))
@settings(deadline=None)
def test_distance_to_a_circle_is_the_distance_to_its_middle_less_its_radius(
    radius: float, angle: float
) -> None:
    x, y = np.float32([20 * math.cos(angle)]), np.float32([20 * math.sin(angle)])

    distance = ellipse_distance(x, y, radius, radius)

    np.testing.assert_allclose(distance, 20 - radius, atol=1e-4)


@given(st.permutations((0, 1, 2)), st.tuples(*[st.sampled_from((-1, 1))] * 3))
@settings(deadline=None, max_examples=48)
def test_storing_in_another_order_leaves_every_voxel_where_it_was(
    order: list[int], signs: tuple[int, int, int]
) -> None:
    label = np.zeros((5, 4, 3), np.uint8)
    label[4, 1, 0] = 1
    affine = grid_affine(AXES, np.linalg.qr(np.arange(9.0).reshape(3, 3) ** 2)[0], np.ones(3))
    case = PhantomCase("c", "p", "", "", label.astype(np.int16), label, affine)

    stored = store_as(case, (order[0], order[1], order[2]), signs)

    index = np.append(np.argwhere(stored.label)[0], 1)
    np.testing.assert_allclose(stored.affine @ index, affine @ [4, 1, 0, 1], atol=1e-9)
