from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter

from crisp_core.numerics.metrics import (
    dice,
    hd95,
    hd95_of,
    precision,
    sensitivity,
    surface_distances,
    volume_error,
)

Mask = np.ndarray[Any, np.dtype[np.bool_]]
SPACING = (3.0, 1.5, 1.25)
masks = arrays(np.bool_, (4, 5, 3))
DEFINITIONS = ("union", "max")


def surface_by_the_book(mask: Mask) -> list[tuple[int, ...]]:
    surface = []
    for voxel in zip(*np.nonzero(mask), strict=True):
        for axis in range(mask.ndim):
            for step in (-1, 1):
                neighbour = list(voxel)
                neighbour[axis] += step
                outside = not 0 <= neighbour[axis] < mask.shape[axis]
                if outside or not mask[tuple(neighbour)]:
                    surface.append(voxel)
    return sorted(set(surface))


def distances_by_the_book(source: Mask, target: Mask) -> list[float]:
    ends = np.array(surface_by_the_book(target)) * SPACING
    starts = np.array(surface_by_the_book(source)) * SPACING
    return sorted(float(np.linalg.norm(ends - start, axis=1).min()) for start in starts)


def box(shape: tuple[int, ...], *sides: slice) -> Mask:
    mask = np.zeros(shape, dtype=np.bool_)
    mask[sides] = True
    return mask


def ellipsoid(shape: tuple[int, ...], centre: list[float], radii: list[float]) -> Mask:
    grid = np.ogrid[tuple(slice(0, side) for side in shape)]
    terms = ((g - c) / r for g, c, r in zip(grid, centre, radii, strict=True))
    return np.asarray(sum(t**2 for t in terms) < 1)


def hard_pair(seed: int) -> tuple[Mask, Mask]:
    """Rough ellipsoids with a part missing, a false island, or a touch of the image edge."""
    draw = np.random.default_rng(seed)
    shape = tuple(draw.integers([4, 24, 24], [11, 49, 49]))
    centre = [float(draw.uniform(0.2, 0.8) * side) for side in shape]
    radii = [float(draw.uniform(0.15, 0.5) * side) for side in shape]
    reference = ellipsoid(shape, centre, radii)
    moved = [c + draw.normal(0, 2) for c in centre]
    prediction = ellipsoid(shape, moved, [r * draw.uniform(0.7, 1.3) for r in radii])
    prediction ^= (draw.random(shape) < 0.02) & reference
    if draw.random() < 0.4:
        prediction[: shape[0] // 2] = False
    if draw.random() < 0.4:
        prediction[-1:, :3, :2] = True
    prediction[tuple(int(c) for c in np.clip(moved, 0, np.array(shape) - 1))] = True
    reference[tuple(int(c) for c in centre)] = True
    return prediction, reference


def test_overlap_of_two_and_three_voxels_in_one() -> None:
    prediction = np.array([True, True, False, False, False])
    reference = np.array([False, True, True, True, False])

    assert dice(prediction, reference) == 2 * 1 / (2 + 3)
    assert sensitivity(prediction, reference) == 1 / 3
    assert precision(prediction, reference) == 1 / 2
    assert volume_error(prediction, reference) == (2 - 3) / 3


def test_empty_masks_are_perfect_together_and_missed_alone() -> None:
    empty, full = np.zeros((2, 3, 6), np.bool_), np.ones((2, 3, 6), np.bool_)
    diagonal = np.hypot(np.hypot(2 * 1.0, 3 * 2.0), 6 * 0.5)

    assert (dice(empty, empty), hd95(empty, empty, (1, 2, 0.5))) == (1, 0)
    for pair in ((empty, full), (full, empty)):
        for definition in DEFINITIONS:
            assert dice(*pair) == 0
            assert hd95(*pair, (1, 2, 0.5), definition) == pytest.approx(diagonal)
    assert sensitivity(full, empty) is None
    assert precision(empty, full) is None
    assert volume_error(full, empty) is None
    assert volume_error(empty, full) == -1


def test_a_shifted_plate_lies_at_its_shift() -> None:
    prediction = box((8, 6), slice(2, 3), slice(0, 6))
    reference = box((8, 6), slice(5, 6), slice(0, 6))

    assert hd95(prediction, reference, (1.5, 1.0)) == 3 * 1.5


def test_union_and_max_differ_where_errors_are_on_one_side() -> None:
    reference = box((1, 60), slice(0, 1), slice(0, 20))
    prediction = box((1, 60), slice(0, 1), slice(0, 22))

    distances = surface_distances(prediction, reference, (1, 1))

    # one voxel wide: all voxels are surface; from the prediction 20 zeros, 1 and 2
    assert sorted(distances.from_prediction) == [0.0] * 20 + [1, 2]
    assert distances.from_reference.tolist() == [0.0] * 20
    assert hd95_of(distances, "max") == pytest.approx(0.95)  # place 0.95 * 21 = 19.95
    assert hd95_of(distances, "union") == 0  # place 0.95 * 41 = 38.95 of 40 zeros


def test_the_edge_of_the_image_is_surface() -> None:
    full = np.ones((3, 3), np.bool_)
    middle = box((3, 3), slice(1, 2), slice(1, 2))

    distances = surface_distances(full, middle, (1, 1))

    assert sorted(distances.from_prediction) == [1.0] * 4 + [2**0.5] * 4
    assert distances.from_reference.tolist() == [1.0]


@given(masks, masks)
@settings(deadline=None)
def test_surface_distances_agree_with_the_book(prediction: Mask, reference: Mask) -> None:
    if not prediction.any() or not reference.any():
        return

    found = surface_distances(prediction, reference, SPACING)

    for side, pair in zip(found, ((prediction, reference), (reference, prediction)), strict=True):
        np.testing.assert_allclose(sorted(side), distances_by_the_book(*pair), rtol=1e-12)


@given(masks, masks, st.sampled_from(DEFINITIONS))
@settings(deadline=None)
def test_dice_and_hd95_are_symmetric(a: Mask, b: Mask, definition: str) -> None:
    assert dice(a, b) == dice(b, a)
    assert hd95(a, b, SPACING, definition) == pytest.approx(hd95(b, a, SPACING, definition))


@given(masks, masks)
@settings(deadline=None)
def test_distance_is_zero_everywhere_only_between_equal_masks(a: Mask, b: Mask) -> None:
    farthest = max(side.max() for side in surface_distances(a, b, SPACING))

    assert hd95(a, a, SPACING) == 0
    assert farthest > 0 or dice(a, b) > 0
    if np.array_equal(a, b):
        assert farthest == 0


@given(masks, masks, st.floats(0.1, 10), st.sampled_from(DEFINITIONS))
@settings(deadline=None)
def test_hd95_scales_with_spacing(a: Mask, b: Mask, scale: float, definition: str) -> None:
    scaled = [scale * side for side in SPACING]

    assert hd95(a, b, scaled, definition) == pytest.approx(scale * hd95(a, b, SPACING, definition))


@given(masks, masks)
@settings(deadline=None)
def test_memory_order_and_empty_margins_do_not_matter(a: Mask, b: Mask) -> None:
    if not a.any() or not b.any():
        return
    wide_a, wide_b = (np.pad(m, 2) for m in (a, b))

    distance = hd95(a, b, SPACING)

    assert hd95(wide_a, wide_b, SPACING) == pytest.approx(distance)
    assert hd95(np.asfortranarray(a), b, SPACING) == pytest.approx(distance)


def test_masks_that_do_not_fit_are_refused() -> None:
    mask = np.ones((2, 2), np.bool_)

    with pytest.raises(ValueError, match=r"prediction is \(2, 2\) but reference is \(2,\)"):
        dice(mask, mask[0])
    with pytest.raises(ValueError, match="masks must be bool"):
        dice(mask.astype(int), mask)
    with pytest.raises(ValueError, match="expected 2 positive lengths"):
        hd95(mask, mask, (1, 1, 1))
    with pytest.raises(ValueError, match="expected 2 positive lengths"):
        hd95(mask, mask, (1, 0))
    with pytest.raises(ValueError, match="definition must be"):
        hd95(mask, mask, (1, 1), "mean")


@pytest.mark.slow
def test_union_equals_medpy_on_hard_pairs() -> None:
    binary = pytest.importorskip("medpy.metric.binary")

    for seed in range(200):
        pair = hard_pair(seed)
        expected = binary.hd95(*pair, voxelspacing=SPACING)
        assert hd95(*pair, SPACING) == pytest.approx(expected, rel=1e-9), seed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_max_equals_monai_on_hard_pairs() -> None:
    torch = pytest.importorskip("torch")
    monai = pytest.importorskip("monai.metrics")

    for seed in range(200):
        pair = hard_pair(seed)
        tensors = [torch.from_numpy(mask)[None, None] for mask in pair]
        expected = monai.compute_hausdorff_distance(
            *tensors, include_background=True, percentile=95, spacing=list(SPACING)
        ).item()
        assert hd95(*pair, SPACING, "max") == pytest.approx(expected, rel=1e-5), seed


def ventricle(shape: tuple[int, ...], seed: int, roughness_voxels: float) -> Mask:
    """A tube through the slices with a smoothly wavering wall."""
    draw = np.random.default_rng(seed)
    _, y, x = np.ogrid[tuple(slice(0, side) for side in shape)]
    waver = gaussian_filter(draw.normal(size=shape), (1, 8, 8))
    waver *= roughness_voxels / waver.std()
    from_axis = np.hypot(y - shape[1] / 2, x - shape[2] / 2) + waver
    return np.asarray(from_axis < shape[1] / 9)


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "spacing", "factor", "order"),
    [
        ((12, 256, 256), (10, 1.4, 1.4), 10, "C"),
        ((12, 256, 256), (10, 1.4, 1.4), 10, "F"),
        pytest.param((120, 512, 512), (1, 0.8, 0.8), 50, "C", marks=pytest.mark.long),
    ],
)
def test_hd95_is_many_times_faster_than_medpy(
    shape: tuple[int, ...], spacing: tuple[float, ...], factor: float, order: Literal["C", "F"]
) -> None:
    binary = pytest.importorskip("medpy.metric.binary")
    reference = np.asarray(ventricle(shape, 0, 0.5), order=order)
    prediction = np.asarray(ventricle(shape, 1, 1.5), order=order)
    prediction[2:4, 20:24, 20:24] = True  # a false island

    theirs = cpu_seconds(lambda: binary.hd95(prediction, reference, voxelspacing=spacing))
    ours = min(cpu_seconds(lambda: hd95(prediction, reference, spacing)) for _ in range(3))

    assert theirs / ours >= factor
