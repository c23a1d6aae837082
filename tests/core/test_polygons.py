from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.numerics.polygons import filled


def circle(row: float, column: float, radius: float, corners: int = 400) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([row + radius * np.sin(turn), column + radius * np.cos(turn)], axis=1)


def inside(polygon: np.ndarray, row: float, column: float) -> bool:
    """Count the edges to the left of a point, by the book."""
    odd = False
    for (r0, c0), (r1, c1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if (r0 < row <= r1 or r1 < row <= r0) and c0 + (row - r0) / (r1 - r0) * (c1 - c0) <= column:
            odd = not odd
    return odd


def test_a_triangle_is_its_pixels() -> None:
    mask = filled([np.array([[0.5, 0.5], [0.5, 4.5], [4.5, 0.5]])], (6, 6))

    assert mask.astype(int).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],  # the sloped edge passes through (1, 4), which is outside
        [0, 1, 1, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize("radius", [5.0, 20.0, 60.0])
def test_a_disc_has_the_area_of_a_disc(radius: float) -> None:
    mask = filled([circle(64.3, 63.8, radius)], (128, 128))

    assert mask.sum() == pytest.approx(np.pi * radius**2, abs=2 * radius)  # a pixel at the rim


def test_a_polygon_in_a_polygon_is_a_hole() -> None:
    ring = filled([circle(32, 32, 20), circle(32, 32, 10)], (64, 64))

    whole, hole = (filled([circle(32, 32, radius)], (64, 64)) for radius in (20, 10))
    np.testing.assert_array_equal(ring, whole & ~hole)


def test_polygons_that_share_an_edge_share_no_pixel_and_leave_none_out() -> None:
    left = np.array([[0.0, 0], [0, 3], [5, 3], [5, 0]])
    right = np.array([[0.0, 3], [0, 7], [5, 7], [5, 3]])

    one, other = filled([left], (8, 8)), filled([right], (8, 8))

    assert not (one & other).any()
    assert (one | other).sum() == 5 * 7


def test_what_lies_outside_is_cut_off() -> None:
    assert filled([circle(0, 0, 10)], (20, 20)).sum() == pytest.approx(np.pi * 100 / 4, abs=20)
    assert not filled([circle(-50, -50, 10)], (20, 20)).any()


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=25)
def test_filled_agrees_with_counting_edges_at_every_pixel(seed: int) -> None:
    polygon = np.random.default_rng(seed).uniform(-1, 9, (7, 2))

    mask = filled([polygon], (8, 8))

    slow = [[inside(polygon, row, column) for column in range(8)] for row in range(8)]
    np.testing.assert_array_equal(mask, slow)
