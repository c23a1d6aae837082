from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from crisp_core.numerics.artefacts import artefact_score, disturbance
from crisp_core.numerics.corrupt import SEVERITIES, corrupt

MISSING = ("blank-slices", "repeated-slices", "short-field")


def heart() -> np.ndarray:
    """Ten slices of a bright ring with a little noise."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:48, :48] - 23.5
    radius = np.hypot(x, y)
    ring = 400 * ((radius > 7) & (radius < 12)) + 200 * (radius <= 7) + 80 * (radius < 21)
    volume = np.stack([ring * (1 - 0.05 * level) for level in range(10)])
    return (volume + generator.normal(0, 4, volume.shape) + 30).astype(np.float32)


def scores(kind: str, image: np.ndarray) -> list[float]:
    return [
        artefact_score(corrupt(image, kind, level, generator=np.random.default_rng(1)))
        for level in SEVERITIES
    ]


@pytest.mark.parametrize("kind", ["rician", "low-dose", "spikes", *MISSING])
def test_more_noise_and_more_lost_slices_are_worse_than_less_and_than_none(kind: str) -> None:
    image = heart()

    found = [artefact_score(image), *scores(kind, image)]

    assert all(mild < worse for mild, worse in pairwise(found)), found


def test_blur_that_leaves_no_noise_is_worse_the_more_there_is() -> None:
    found = scores("blur", heart())[1:]

    assert all(mild < worse for mild, worse in pairwise(found)), found


def test_unit_and_offset_do_not_matter() -> None:
    image = heart()

    assert artefact_score(3 * image + 700) == pytest.approx(artefact_score(image), rel=1e-3)


def test_a_blank_volume_and_one_of_two_pixels_are_not_an_error() -> None:
    assert artefact_score(np.zeros((3, 8, 8), np.float32)) == 0.0
    tiny = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    assert np.isfinite(artefact_score(tiny))


def test_known_noise_is_found() -> None:
    """Noise of 5 % of the range on a flat ground with a bright half."""
    ground = np.zeros((4, 64, 64))
    ground[..., 32:] = 1.0
    noisy = ground + np.random.default_rng(0).normal(0, 0.05, ground.shape)

    span = np.ptp(np.percentile(noisy, [1, 99]))
    assert disturbance(noisy).noise * span == pytest.approx(0.05, rel=0.05)
