from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from crisp_core.numerics.metrics import SurfaceDistances, dice, surface_distances
from crisp_core.numerics.surface_scores import mean_surface_distance, surface_dice

SPACING = (3.0, 1.5, 1.25)
CASES = 200


def blobs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two smooth masks that overlap in part, never empty."""
    noise = np.random.default_rng(seed)
    field = gaussian_filter(noise.normal(size=(5, 14, 12)), 1.2)
    other = field + 0.4 * gaussian_filter(noise.normal(size=field.shape), 1.0)
    return field > np.quantile(field, 0.7), other > np.quantile(other, 0.75)


def test_two_squares_one_voxel_apart_are_all_near_within_one_voxel() -> None:
    first, second = np.zeros((2, 1, 8, 8), dtype=bool)
    first[0, 2:5, 2:5], second[0, 2:5, 3:6] = True, True

    distances = surface_distances(first, second, (1.0, 1.0, 1.0))

    assert surface_dice(distances, 1.0) == 1.0
    assert surface_dice(distances, 0.0) < 1.0  # the outer columns are one voxel off
    # one slice: every voxel is surface; three of nine on each side have no partner
    assert surface_dice(distances, 0.0) == pytest.approx(12 / 18)
    assert mean_surface_distance(distances) == pytest.approx(3 / 9)


def test_empty_masks_are_perfect_and_a_lone_one_is_as_bad_as_can_be() -> None:
    empty, full = np.zeros((3, 4, 4), dtype=bool), np.ones((3, 4, 4), dtype=bool)
    diagonal = float(np.linalg.norm(np.array(SPACING) * (3, 4, 4)))

    neither, one = (surface_distances(m, empty, SPACING) for m in (empty, full))

    assert (surface_dice(neither, 1.0), mean_surface_distance(neither)) == (1.0, 0.0)
    assert (surface_dice(one, 1.0), mean_surface_distance(one)) == (0.0, pytest.approx(diagonal))


@pytest.mark.parametrize("tolerance", [-1.0, np.nan, np.inf])
def test_a_tolerance_that_is_no_length_is_refused(tolerance: float) -> None:
    distances = SurfaceDistances(np.array([0.0]), np.array([0.0]))

    with pytest.raises(ValueError, match="tolerance_mm"):
        surface_dice(distances, tolerance)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_assd_equals_medpy_on_random_cases() -> None:
    binary = pytest.importorskip("medpy.metric.binary")

    for seed in range(CASES):
        prediction, reference = blobs(seed)
        ours = mean_surface_distance(surface_distances(prediction, reference, SPACING))
        assert ours == pytest.approx(binary.assd(prediction, reference, SPACING), abs=1e-9)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_surface_dice_equals_monai_on_random_cases() -> None:
    monai = pytest.importorskip("monai.metrics")

    for seed in range(CASES):
        prediction, reference = blobs(seed)
        one_hot = [torch.tensor(np.stack([~m, m])[None]) for m in (prediction, reference)]
        expected = monai.compute_surface_dice(*one_hot, class_thresholds=[2.0], spacing=SPACING)
        ours = surface_dice(surface_distances(prediction, reference, SPACING), 2.0)
        assert ours == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_surface_dice_is_close_to_its_authors_who_weigh_by_area() -> None:
    authors = pytest.importorskip("surface_distance")

    for seed in range(20):
        prediction, reference = blobs(seed)
        theirs = authors.compute_surface_dice_at_tolerance(
            authors.compute_surface_distances(reference, prediction, SPACING), 2.0
        )
        ours = surface_dice(surface_distances(prediction, reference, SPACING), 2.0)
        assert ours == pytest.approx(theirs, abs=0.1)
        assert dice(prediction, reference) < 1.0
