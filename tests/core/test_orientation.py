from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.files.orientation import grid_of, house_affine, same_place, to_file, to_house

ORIENTATIONS = [
    "".join(axis[sign] for axis, sign in zip(axes, signs, strict=True))
    for axes in (("RL", "AP", "SI"), ("AP", "SI", "RL"), ("SI", "RL", "AP"), ("AP", "RL", "SI"))
    for signs in ((0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1), (0, 1, 0))
]


def stored_as(codes: str, spacing: tuple[float, float, float]) -> np.ndarray:
    """Affine of a file whose axes run along `codes`, with a spacing for each file axis."""
    affine = np.zeros((4, 4))
    for axis, (code, mm) in enumerate(zip(codes, spacing, strict=True)):
        world = next(i for i, pair in enumerate(("RL", "AP", "SI")) if code in pair)
        affine[world, axis] = mm if code in "RAS" else -mm
    affine[:, 3] = [3, -5, 7, 1]
    return affine


def test_an_axial_slice_shows_the_front_at_the_top_and_the_left_on_the_right():
    body = np.zeros((2, 2, 2), int)  # x to the right, y to the front, z up
    body[0, 1, 0] = 1  # left, front, lower slice

    shown = to_house(body, grid_of(body.shape, stored_as("RAS", (1, 1, 8))))

    assert shown[0].tolist() == [[0, 1], [0, 0]]


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_storage_of_one_body_becomes_one_array(codes):
    body = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    ras = stored_as("RAS", (1, 1, 1))
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(ras), nib.orientations.axcodes2ornt(tuple(codes))
    )
    stored = nib.Nifti1Image(body.astype(np.int16), ras).as_reoriented(turn)

    grid = grid_of(stored.shape, stored.affine)

    expected = grid_of(body.shape, ras)
    np.testing.assert_array_equal(to_house(stored.get_fdata(), grid), to_house(body, expected))
    np.testing.assert_allclose(house_affine(grid), house_affine(expected), atol=1e-5)


@pytest.mark.parametrize(
    ("codes", "spacing", "through"),
    [
        ("RAS", (1, 1, 1), 2),  # no axis stands out: superior-inferior
        ("RAS", (1, 8, 1), 1),  # coronal slices
        ("SRA", (1, 1, 1.4), 0),  # 1.4 is less than 1.5 times 1
        ("SRA", (1, 1, 1.5), 2),
    ],
)
def test_slices_follow_the_clearly_largest_spacing_else_the_body(codes, spacing, through):
    assert grid_of((4, 5, 6), stored_as(codes, spacing)).order[0] == through


def test_a_single_slice_is_a_slice_whatever_its_spacing():
    assert grid_of((1, 5, 6), stored_as("RAS", (1, 1, 8))).shape == (1, 6, 5)


def test_spacing_is_told_along_slices_rows_and_columns():
    assert grid_of((2, 3, 4), stored_as("RAS", (1.2, 1.3, 8))).spacing_mm == (8.0, 1.3, 1.2)


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(deadline=None, max_examples=50)
def test_axes_are_permuted_and_reversed_and_nothing_else(seed, flat):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 5, 2 if flat else 3))
    affine = np.eye(4)
    affine[:3] = rng.normal(size=(3, 4)) @ np.diag([1, 2, 4, 30])
    array = rng.integers(0, 100, shape)

    grid = grid_of(shape, affine)
    house = to_house(array, grid)

    np.testing.assert_array_equal(to_file(house, grid), array)
    assert house.shape == grid.shape
    index = [int(rng.integers(0, n)) for n in grid.shape]
    number = to_house(np.arange(array.size).reshape(shape), grid)[tuple(index)]
    in_file = [*np.unravel_index(number, shape), *([0] if flat else []), 1]
    np.testing.assert_allclose(house_affine(grid) @ [*index, 1], affine @ in_file, atol=1e-9)


def test_an_affine_without_three_axes_is_refused():
    with pytest.raises(ValueError, match="three finite, independent axes"):
        grid_of((2, 2, 2), np.diag([1.0, 0, 1, 1]))


def test_same_place_allows_one_percent_and_no_more():
    grid = grid_of((4, 5, 6), stored_as("RAS", (1, 1, 8)))

    assert same_place(grid, grid_of((4, 5, 6), stored_as("RAS", (1.009, 1, 8))))
    assert not same_place(grid, grid_of((4, 5, 6), stored_as("RAS", (1.02, 1, 8))))
    assert not same_place(grid, grid_of((4, 5, 6), stored_as("LAS", (1, 1, 8))))
    assert not same_place(grid, grid_of((4, 5, 7), stored_as("RAS", (1, 1, 8))))
