from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.numerics.phantom.case import axis_mm
from crisp_core.numerics.phantom.tree import Tree, grow_tree, tube_distance


def small_tree(seed: int, count: int) -> tuple[Tree, np.ndarray]:
    generator = np.random.default_rng(seed)
    seeds = generator.uniform(-20, 20, (count, 3))
    return grow_tree(np.zeros(3), seeds, 0.8, generator=generator), seeds


@given(st.integers(0, 50), st.integers(1, 40))
@settings(deadline=None, max_examples=25)
def test_the_cube_of_a_radius_is_the_sum_of_its_childrens(seed: int, count: int) -> None:
    tree, _ = small_tree(seed, count)

    for piece in range(len(tree.parent)):
        children = tree.radius_mm[tree.parent == piece]
        cube = (children**3).sum() if children.size else 0.8**3
        np.testing.assert_allclose(tree.radius_mm[piece] ** 3, cube)


@given(st.integers(0, 50), st.integers(1, 40))
@settings(deadline=None, max_examples=25)
def test_every_seed_is_the_end_of_one_leaf(seed: int, count: int) -> None:
    tree, seeds = small_tree(seed, count)

    leaves = tree.end_mm[~np.isin(np.arange(len(tree.parent)), tree.parent)]

    np.testing.assert_array_equal(leaves[np.lexsort(leaves.T)], seeds[np.lexsort(seeds.T)])


@given(st.integers(0, 50))
@settings(deadline=None, max_examples=10)
def test_a_piece_starts_where_its_parent_ends(seed: int) -> None:
    tree, _ = small_tree(seed, 20)

    grown = tree.parent >= 0

    np.testing.assert_array_equal(tree.start_mm[grown], tree.end_mm[tree.parent[grown]])


def test_tube_distance_agrees_with_measuring_every_voxel() -> None:
    tree, _ = small_tree(1, 4)
    axes = (axis_mm(7, 6.0), axis_mm(6, 7.0), axis_mm(5, 9.0))

    distance = tube_distance(tree, axes, 6.0)

    slow = np.full((7, 6, 5), 6.0)
    for place in np.ndindex(slow.shape):
        point = np.array([axis[i] for axis, i in zip(axes, place, strict=True)], float)
        for start, end, radius in zip(tree.start_mm, tree.end_mm, tree.radius_mm, strict=True):
            along = end - start
            share = np.clip((point - start) @ along / (along @ along), 0, 1)
            slow[place] = min(slow[place], np.linalg.norm(point - start - share * along) - radius)
    np.testing.assert_allclose(distance, slow, atol=1e-4)
