from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.numerics.resampling import (
    AxisMap,
    centred,
    resample,
    resample_labels,
    stretched,
)

counts = st.integers(1, 9)
seeds = st.integers(0, 2**32 - 1)


def row(values, axis, outside=0.0):
    """Resample one row of pixels."""
    return resample(np.float32([values]), AxisMap(1, 0.0, 1.0), axis, outside)[0]


def by_the_book(values, axis, outside):
    """Loop over new pixels; weigh old ones by a triangle around the new one's centre."""
    result = []
    for i in range(axis.count):
        centre, reach = axis.offset + axis.step * i, max(1.0, axis.step)
        if not -0.5 - 1e-6 <= centre <= len(values) - 0.5 + 1e-6:
            result.append(outside)
            continue
        weights = [max(0.0, 1 - abs(j - centre) / reach) for j in range(len(values))]
        result.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
    return result


def test_twice_as_fine_is_linear_between_pixel_centres():
    # new centres at -0.25, 0.25, 0.75, 1.25 of the old pixels 0 and 4
    np.testing.assert_allclose(row([0, 4], stretched(2, 4)), [0, 1, 3, 4])


def test_half_as_fine_is_an_average_around_the_new_centre():
    # at 0.5: weights 3/4, 3/4, 1/4 for pixels 0, 1, 2 (and 1/4 for one outside, left out)
    assert row([7, 0, 0, 0], stretched(4, 2))[0] == np.float32(7 * 3 / 7)


def test_a_crop_takes_old_pixels_and_pads_what_is_missing():
    assert row([1, 2, 3, 4], centred(4, 2, 1.0)).tolist() == [2, 3]
    assert row([1, 2], centred(2, 5, 1.0), outside=-1).tolist() == [-1, -1, 1, 2, -1]


@given(counts, counts, st.sampled_from([0.4, 1.0, 1.7, 3.0]), seeds)
@settings(deadline=None)
def test_resampling_agrees_with_the_book(old, new, step, seed):
    values = np.random.default_rng(seed).normal(size=old)

    for axis in (stretched(old, new), centred(old, new, step)):
        np.testing.assert_allclose(row(values, axis, -9), by_the_book(values, axis, -9), atol=1e-5)


@given(counts, counts, seeds)
@settings(deadline=None)
def test_stretching_agrees_with_torch(old, new, seed):
    image = np.random.default_rng(seed).normal(size=(old, old)).astype(np.float32)

    stretch = stretched(old, new)

    expected = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None, None], (new, new), mode="bilinear", antialias=True
    )[0, 0]
    np.testing.assert_allclose(resample(image, stretch, stretch, 0), expected, atol=1e-5)


@given(counts, counts, seeds)
@settings(deadline=None)
def test_a_grid_onto_itself_changes_no_bit(height, width, seed):
    image = np.random.default_rng(seed).normal(size=(2, height, width)).astype(np.float32)

    same = resample(image, stretched(height, height), centred(width, width, 1.0), 0)

    np.testing.assert_array_equal(same, image)


@given(counts, counts, seeds)
@settings(deadline=None)
def test_a_padded_copy_comes_back_whole(old, more, seed):
    labels = np.random.default_rng(seed).integers(0, 4, (old, old))
    axis = centred(old, old + more, 1.0)

    there = resample_labels(labels, axis, axis)

    np.testing.assert_array_equal(
        resample_labels(there, axis.inverse(old), axis.inverse(old)), labels
    )


@given(counts, counts, seeds)
@settings(deadline=None)
def test_a_mirrored_image_becomes_the_mirrored_result(old, new, seed):
    image = np.random.default_rng(seed).normal(size=(old, old)).astype(np.float32)
    stretch = stretched(old, new)

    mirrored = resample(image[:, ::-1], stretch, stretch, 0)

    expected = resample(image, stretch, stretch, 0)[:, ::-1]
    np.testing.assert_allclose(mirrored, expected, atol=1e-5)


def test_a_pixel_takes_the_label_that_fills_most_of_it():
    labels = np.uint8([[2, 2, 0, 0], [2, 2, 0, 1], [0, 0, 1, 1], [0, 0, 1, 1]])
    halved = stretched(4, 2)

    assert resample_labels(labels, halved, halved).tolist() == [[2, 0], [0, 1]]
    assert resample_labels(labels, halved, halved).dtype == np.uint8
