from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.files.orientation import Grid, grid_of
from crisp_core.files.preprocess import (
    PrepareSettings,
    placement_of,
    prepare_image,
    restore_mask,
)
from crisp_core.files.volumes import Volume
from crisp_core.files.windows import (
    blend_masks,
    blend_windows,
    prepare_windows,
    window_placements,
)


def grid(height: int, width: int, mm: float = 1.0) -> Grid:
    """Three axial slices."""
    return grid_of((width, height, 3), np.diag([mm, mm, 8.0, 1.0]))


def crop(size: tuple[int, int], spacing_mm: float | None = None) -> PrepareSettings:
    return PrepareSettings(size, "crop", spacing_mm)


def test_a_volume_of_twice_the_crop_gets_three_overlapping_windows_along_that_axis() -> None:
    found = window_placements(grid(32, 16), crop((16, 16)))

    # 16 of 32 pixels each, a stride of at most 12: at 0, 8 and 16
    assert [place.rows.offset for place in found] == [0, 8, 16]
    assert {place.columns.offset for place in found} == {0}


def test_a_volume_that_fits_is_prepared_as_the_study_prepares_it() -> None:
    plan, where = crop((16, 16), 1.5), grid(20, 18)
    volume = Volume(np.random.default_rng(1).random((2, *where.shape), np.float32), where)

    places = window_placements(where, plan)

    assert places == (placement_of(where, plan),)
    assert np.array_equal(prepare_windows(volume, plan, places)[0], prepare_image(volume, plan))


def test_a_stretched_volume_is_one_window() -> None:
    assert len(window_placements(grid(300, 200), PrepareSettings((16, 16)))) == 1


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(3, 70),
    width=st.integers(3, 70),
    spacing=st.sampled_from([None, 0.7, 1.0, 1.3, 2.0]),
)
def test_every_pixel_of_a_volume_is_in_some_window(height, width, spacing) -> None:
    where = grid(height, width)
    places = window_placements(where, crop((16, 12), spacing))
    ones = np.ones((3 * len(places), 1, 16, 12), np.float32)

    seen = blend_windows(ones, places, where, outside=-1.0)

    np.testing.assert_allclose(seen, 1.0, atol=1e-5)


def test_windows_of_a_picture_put_together_are_the_picture() -> None:
    where = grid(40, 50)
    volume = Volume(np.random.default_rng(2).random((1, *where.shape), np.float32), where)
    plan = PrepareSettings((16, 16), "crop", percentiles=(0, 100))
    places = window_placements(where, plan)

    windows = np.concatenate(prepare_windows(volume, plan, places))
    back = blend_windows(windows, places, where, outside=0.0)

    low, high = volume.array.min(), volume.array.max()
    np.testing.assert_allclose(
        back[:, 0], 2 * (volume.array[0] - low) / (high - low) - 1, atol=1e-5
    )


@pytest.mark.parametrize("spacing", [None, 1.3])
def test_a_mask_inside_another_stays_inside_it_where_windows_disagree(spacing) -> None:
    where, rng = grid(40, 30), np.random.default_rng(3)
    places = window_placements(where, crop((16, 16), spacing))
    support = rng.random((3 * len(places), 2, 16, 16)) > 0.4
    core = support & (rng.random(support.shape) > 0.5)

    inner, outer = (blend_masks(mask, places, where) for mask in (core, support))

    assert inner.any()
    assert not (inner & ~outer).any()


def test_one_window_blends_to_what_a_study_restores() -> None:
    where, plan = grid(20, 18), crop((16, 16), 1.2)
    mask = np.random.default_rng(4).random((3, 2, 16, 16)) > 0.5
    places = window_placements(where, plan)

    assert len(places) == 1
    assert np.array_equal(blend_masks(mask, places, where), restore_mask(mask, places[0], where))
