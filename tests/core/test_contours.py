from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crisp_core.numerics.contours import outlines


def filled(outline: np.ndarray, shape: tuple[int, int], *, winding: bool) -> np.ndarray:
    """Fill an outline by casting a ray from every pixel's centre to the right, edge by edge."""
    turns = np.zeros(shape, int)
    rows, columns = np.indices(shape)
    for (r0, c0), (r1, c1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        crossed = (np.minimum(r0, r1) <= rows) & (rows < np.maximum(r0, r1))
        if r0 != r1:
            at = c0 + (rows - r0) * (c1 - c0) / (r1 - r0)
            turns += np.where(crossed & (at > columns), np.sign(r1 - r0).astype(int), 0)
    return turns != 0 if winding else turns % 2 == 1


masks = arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@settings(max_examples=60, deadline=None)
@given(mask=masks)
def test_outlines_filled_by_either_rule_give_the_mask_back(mask: np.ndarray) -> None:
    for winding in (False, True):
        back = np.zeros(mask.shape, int)
        for outline in outlines(mask):
            back += filled(outline, mask.shape, winding=winding)

        assert np.array_equal(back, mask.astype(int))


def test_a_ring_is_one_outline_with_a_cut_to_its_hole() -> None:
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False

    [outline] = outlines(ring)

    # four corners outside, four inside, and both ends of the cut a second time
    assert len(outline) == 10


def test_a_straight_border_has_no_corner_on_its_way() -> None:
    [outline] = outlines(np.ones((4, 7), bool))

    assert outline.tolist() == [[-0.5, 6.5], [3.5, 6.5], [3.5, -0.5], [-0.5, -0.5]]


def test_pixels_that_touch_at_a_corner_are_two_outlines() -> None:
    assert len(outlines(np.eye(2, dtype=bool))) == 2


def test_an_empty_mask_has_no_outline() -> None:
    assert outlines(np.zeros((3, 3), bool)) == []
