from __future__ import annotations

import numpy as np
import pytest

from crisp_core.numerics.profile import profile_of

SHAPE = (4, 10, 10)
SPACING_MM = (5.0, 1.0, 2.0)


def ramp() -> np.ndarray:
    return np.arange(np.prod(SHAPE), dtype=np.float32).reshape(1, *SHAPE)


def test_a_box_has_the_volume_and_the_surface_that_one_can_draw() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:3, 2:6, 3:5] = 1

    box = profile_of(ramp(), labels, SPACING_MM).structures[1]

    assert box.volume_ml == pytest.approx(2 * 4 * 2 * 10 / 1000)  # 16 voxels of 10 mm³
    assert box.background_share == 1
    assert box.offset == pytest.approx((0, 0, 0))


def test_a_core_wrapped_in_a_shell_touches_no_background() -> None:
    labels = np.zeros((6, 8, 8), np.uint8)
    labels[1:5, 1:7, 1:7] = 2
    labels[2:4, 3:5, 3:5] = 1

    found = profile_of(np.random.default_rng(0).random((1, 6, 8, 8)), labels, (1, 1, 1)).structures

    inside, outside = 2 * 2 * 2 + 4 * 2 * 2, 2 * 36 + 4 * 24  # faces of the core, of the shell
    assert found[1].background_share == 0
    assert found[2].background_share == pytest.approx(outside / (outside + inside))


def test_a_face_between_slices_counts_by_its_area() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[1, 1, 1], labels[1, 1, 2] = 1, 2  # neighbours along W

    one = profile_of(np.random.default_rng(0).random((1, 4, 4, 4)), labels, SPACING_MM)

    shared, every = 5 * 1, 2 * (1 * 2 + 5 * 2 + 5 * 1)  # d*h; both faces of each axis
    assert one.structures[1].background_share == pytest.approx(1 - shared / every)


def test_offsets_of_two_structures_point_at_one_another() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 2, 2:4], labels[1, 8, 2:4] = 1, 2

    found = profile_of(ramp(), labels, SPACING_MM).structures

    assert found[1].offset[1] < 0 < found[2].offset[1]
    np.testing.assert_allclose(np.add(found[1].offset, found[2].offset), 0, atol=1e-12)


def test_offset_and_intensity_do_not_depend_on_units() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:3, 2:5, 3:6], labels[1, 7, 7] = 1, 2

    one = profile_of(ramp(), labels, SPACING_MM)
    other = profile_of(3 * ramp() - 1024, labels, (50.0, 10.0, 20.0))

    for number in (1, 2):
        np.testing.assert_allclose(one.structures[number].offset, other.structures[number].offset)
        assert one.structures[number].intensity == pytest.approx(other.structures[number].intensity)


def test_an_empty_mask_has_percentiles_and_nothing_else() -> None:
    found = profile_of(ramp(), np.zeros(SHAPE, np.uint8), SPACING_MM)

    assert found.structures == {}
    assert found.spread_mm is None
    assert found.percentiles[0][1] == pytest.approx(199.5)  # the middle of 0 to 399
    assert found.whole_numbers
