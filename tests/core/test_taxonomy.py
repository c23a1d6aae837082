from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from crisp_core.numerics.taxonomy import Taxonomy, taxonomy_of

MM = (1.0, 1.0, 1.0)
masks = arrays(np.bool_, (3, 6, 6))


def box(*sides: slice, shape: tuple[int, int, int] = (1, 60, 60)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[0, *sides] = True
    return mask


REFERENCE = box(slice(10, 20), slice(10, 20))


def test_a_perfect_answer_has_no_error() -> None:
    assert taxonomy_of(REFERENCE, REFERENCE, MM) == Taxonomy(False, 0.0, 0.0, 0, (0.0, 0.0, 0.0))


def test_sixty_nine_of_a_hundred_voxels_are_too_few_and_seventy_are_not() -> None:
    seventy = box(slice(10, 17), slice(10, 20))
    fewer = seventy.copy()
    fewer[0, 10, 10] = False

    assert not taxonomy_of(seventy, REFERENCE, MM).under_segmented
    assert taxonomy_of(fewer, REFERENCE, MM).under_segmented


def test_a_rim_leaks_and_an_island_far_away_is_distant() -> None:
    rim, island = box(slice(20, 22), slice(10, 20)), box(slice(40, 43), slice(40, 43))

    found = taxonomy_of(REFERENCE | rim | island, REFERENCE, MM)

    assert found.leakage_ml == pytest.approx(20 / 1000)
    assert (found.distant_ml, found.distant_components) == (pytest.approx(9 / 1000), 1)


def test_ten_millimetres_are_near_and_eleven_are_not_whatever_the_spacing() -> None:
    at_ten, at_eleven = box(slice(29, 30), slice(10, 11)), box(slice(30, 31), slice(10, 11))

    assert taxonomy_of(at_ten, REFERENCE, MM).distant_components == 0
    assert taxonomy_of(at_eleven, REFERENCE, MM).distant_components == 1
    assert taxonomy_of(at_eleven, REFERENCE, (1.0, 0.9, 1.0)).distant_components == 0


def test_a_component_that_reaches_close_is_not_distant_even_where_it_is_far() -> None:
    tail = box(slice(20, 45), slice(12, 13))  # from the reference's edge to 25 mm away

    found = taxonomy_of(REFERENCE | tail, REFERENCE, MM)

    assert found.distant_components == 0
    assert found.leakage_ml == pytest.approx(10 / 1000)  # the tail's first ten voxels


def test_a_shift_is_the_offset_in_millimetres_with_its_sign() -> None:
    shifted = box(slice(7, 17), slice(15, 25))

    assert taxonomy_of(shifted, REFERENCE, (3.0, 2.0, 0.5)).offset_mm == (0.0, -6.0, 2.5)


def test_what_is_found_where_nothing_is_lies_far_from_it_and_a_miss_is_under_segmented() -> None:
    empty = np.zeros_like(REFERENCE)

    invented, missed = taxonomy_of(REFERENCE, empty, MM), taxonomy_of(empty, REFERENCE, MM)

    assert invented == Taxonomy(False, 0.0, pytest.approx(0.1), 1, None)
    assert missed == Taxonomy(True, 0.0, 0.0, 0, None)
    assert taxonomy_of(empty, empty, MM) == Taxonomy(False, 0.0, 0.0, 0, None)


@settings(deadline=None)
@given(masks, masks, st.sampled_from([(1.0, 1.0, 1.0), (8.0, 3.0, 4.0)]))
def test_it_agrees_with_a_distance_map(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float]
) -> None:
    away = (
        ndimage.distance_transform_edt(~reference, sampling=spacing)
        if reference.any()
        else np.full(reference.shape, np.inf)
    )
    components, count = ndimage.label(prediction, np.ones((3, 3, 3)))
    distant = [n for n in range(1, count + 1) if away[components == n].min() > 10]
    voxel_ml = np.prod(spacing) / 1000

    found = taxonomy_of(prediction, reference, spacing)

    assert found.distant_components == len(distant)
    assert found.distant_ml == pytest.approx(np.isin(components, distant).sum() * voxel_ml)
    leaks = prediction & ~reference & (away <= 10)
    assert found.leakage_ml == pytest.approx(leaks.sum() * voxel_ml)
