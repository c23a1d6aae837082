from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.files.orientation import grid_of
from crisp_core.files.preprocess import (
    PrepareSettings,
    placement_of,
    prepare_image,
    prepare_labels,
    restore_mask,
    restore_probabilities,
    scaled,
)
from crisp_core.files.volumes import LabelVolume, Volume

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
fits = st.sampled_from([("resize", None), ("crop", None), ("crop", 1.1), ("crop", 3.0)])


def grid(depth=2, height=6, width=4, mm=1.5):
    """Grid of a file that is stored as (x, y, z)."""
    return grid_of((width, height, depth), np.diag([-mm, -mm, 8, 1]))


def volume(rng, channels=1, **shape):
    place = grid(**shape)
    return Volume(rng.normal(size=(channels, *place.shape)).astype(np.float32), place)


def test_percentiles_become_the_ends_and_what_lies_beyond_is_cut():
    values = np.float32([np.arange(101)])[None]  # the 10th percentile of 0..100 is 10

    result = scaled(values, (10, 90))

    assert result[0, 0, [0, 10, 50, 90, 100]].tolist() == [-1, -1, 0, 1, 1]


def test_a_volume_that_is_nearly_all_air_is_scaled_by_its_extremes():
    values = np.zeros((1, 10, 200), np.float32)
    values[0, 0, 0] = 8

    assert np.unique(scaled(values, (1, 99))).tolist() == [-1, 1]


def test_an_image_of_one_value_cannot_be_scaled():
    with pytest.raises(ValueError, match="All intensities are 3"):
        scaled(np.full((1, 2, 2), 3, np.float32), (1, 99))


@given(seeds, st.floats(0.1, 100), st.floats(-100, 100))
@settings(deadline=None)
def test_another_unit_changes_nothing(seed, factor, shift):
    values = np.random.default_rng(seed).normal(size=(2, 5, 5))

    one = scaled(values.astype(np.float32), (1, 99))
    other = scaled((values * factor + shift).astype(np.float32), (1, 99))

    np.testing.assert_allclose(one, other, atol=1e-2)  # float32 keeps 7 digits of 100 + 0.1 x


def test_each_channel_has_its_own_scale_and_slices_come_first():
    ramp = np.linspace(0, 1, 48, dtype=np.float32).reshape(2, 6, 4)
    image = Volume(np.stack([ramp, 1000 * ramp]), grid())

    prepared = prepare_image(image, PrepareSettings((6, 4), percentiles=(0, 100)))

    assert prepared.shape == (2, 2, 6, 4)
    np.testing.assert_allclose(prepared[:, 0], prepared[:, 1], atol=1e-6)
    np.testing.assert_allclose(prepared[:, 0], 2 * ramp - 1, atol=1e-6)


def test_a_crop_at_a_spacing_shows_as_many_millimetres():
    shown = placement_of(grid(mm=1.5), PrepareSettings((4, 4), "crop", spacing_mm=3.0))

    assert shown.rows.step == shown.columns.step == 2.0  # 3.0 mm are 2 pixels of 1.5 mm
    assert shown.rows.offset == -0.5  # middle of 6 rows at 2.5, less 2 * 1.5 pixels


@given(seeds, sizes, fits)
@settings(deadline=None)
def test_prepared_arrays_have_the_study_size_and_scale(seed, size, fit):
    rng = np.random.default_rng(seed)
    image = volume(rng, channels=2)
    labels = LabelVolume(rng.integers(0, 3, image.grid.shape).astype(np.uint8), image.grid)
    how = PrepareSettings(size, *fit)

    prepared, masks = prepare_image(image, how), prepare_labels(labels, how)

    assert prepared.shape == (2, 2, *size)
    assert masks.shape == (2, *size)
    assert np.abs(prepared).max() <= 1 + 1e-6
    assert set(np.unique(masks)) <= {0, 1, 2}


@given(seeds)
@settings(deadline=None)
def test_the_same_grid_there_and_back_is_exact(seed):
    rng = np.random.default_rng(seed)
    place, mask = grid(), rng.random((2, 3, 6, 4)) > 0.5
    for fit in ("resize", "crop"):
        placement = placement_of(place, PrepareSettings((6, 4), fit))
        probabilities = rng.random((2, 3, 6, 4)).astype(np.float32)

        restored = restore_probabilities(probabilities, placement, place)

        np.testing.assert_array_equal(restored, probabilities)
        np.testing.assert_array_equal(restore_mask(mask, placement, place), mask)


@given(seeds, sizes, fits)
@settings(deadline=None)
def test_restored_probabilities_sum_to_one_everywhere(seed, size, fit):
    place = grid()
    placement = placement_of(place, PrepareSettings(size, *fit))
    raw = np.random.default_rng(seed).random((2, 3, *size)).astype(np.float32)

    restored = restore_probabilities(raw / raw.sum(1, keepdims=True), placement, place)

    assert restored.shape == (2, 3, 6, 4)
    np.testing.assert_allclose(restored.sum(1), 1, atol=1e-5)


@given(seeds, sizes, fits)
@settings(deadline=None)
def test_a_mask_inside_another_stays_inside(seed, size, fit):
    rng, place = np.random.default_rng(seed), grid()
    placement = placement_of(place, PrepareSettings(size, *fit))
    support = rng.random((2, 1, *size)) > 0.3
    core = support & (rng.random((2, 1, *size)) > 0.3)

    assert (restore_mask(core, placement, place) <= restore_mask(support, placement, place)).all()


def test_outside_the_crop_everything_is_background():
    place = grid(height=6, width=4)
    placement = placement_of(place, PrepareSettings((2, 2), "crop"))
    structure = np.stack([np.zeros((2, 2, 2)), np.ones((2, 2, 2))], axis=1).astype(np.float32)

    restored = restore_probabilities(structure, placement, place)

    assert restored[0, 1].sum() == 4  # the 2 x 2 pixels of the crop
    assert (restored[:, 0, [0, 1, 4, 5]] == 1).all()
    assert restored[0, 1, 2:4, 1:3].all()


def test_a_disc_keeps_its_place_through_half_the_pixels():
    place = grid(height=64, width=64)
    y, x = np.mgrid[:64, :64]
    disc = np.repeat((np.hypot(y - 30, x - 25) < 15)[None], 2, axis=0)
    placement = placement_of(place, PrepareSettings((32, 32)))

    labels = prepare_labels(LabelVolume(disc.astype(np.uint8), place), PrepareSettings((32, 32)))
    back = restore_mask(labels > 0, placement, place)

    assert 2 * (back & disc).sum() / (back.sum() + disc.sum()) > 0.95
    np.testing.assert_allclose(np.argwhere(back[0]).mean(0), [30, 25], atol=0.25)
