from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from crisp_core.numerics.corrupt import (
    CORRUPTIONS,
    SEVERITIES,
    corrupt,
    peak_signal_to_noise,
)

EVERY = sorted(CORRUPTIONS)


def heart(seed: int = 0) -> np.ndarray:
    """Ten slices of a bright ring on textured tissue, intensities like an MRI's."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64] - 31.5
    radius = np.hypot(x * (1 + 0.1 * generator.normal()), y)
    ring = 400 * ((radius > 10) & (radius < 16)) + 200 * (radius <= 10) + 80 * (radius < 28)
    volume = np.stack([ring * (1 - 0.05 * level) for level in range(10)])
    return (volume + generator.normal(0, 8, volume.shape) + 30).astype(np.float32)


def changed(image: np.ndarray, kind: str, severity: int, seed: int = 1) -> np.ndarray:
    return corrupt(image, kind, severity, generator=np.random.default_rng(seed))


@pytest.mark.parametrize("kind", EVERY)
def test_the_same_seed_gives_the_same_artefact(kind: str) -> None:
    image = heart()

    assert np.array_equal(changed(image, kind, 3), changed(image, kind, 3))


@pytest.mark.parametrize("kind", sorted(set(EVERY) - {"blur", "inversion"}))
def test_another_seed_gives_another_artefact(kind: str) -> None:
    image = heart()

    others = [changed(image, kind, 3, seed) for seed in range(2, 8)]

    assert any(not np.array_equal(changed(image, kind, 3), other) for other in others)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("seed", range(3))
def test_a_worse_severity_is_never_closer_to_the_image(kind: str, seed: int) -> None:
    image = heart(seed)

    noise = [peak_signal_to_noise(image, changed(image, kind, s, seed)) for s in SEVERITIES]

    assert all(mild > worse for mild, worse in itertools.pairwise(noise)), noise


@pytest.mark.parametrize("kind", EVERY)
def test_the_image_that_came_is_left_alone_and_shape_stays(kind: str) -> None:
    image = heart()
    before = image.copy()

    after = changed(image, kind, 5)

    assert np.array_equal(image, before)
    assert (after.shape, after.dtype) == (image.shape, np.float32)
    assert np.isfinite(after).all()


def test_half_of_ten_slices_are_blank_and_the_others_untouched() -> None:
    image = heart()

    after = changed(image, "blank-slices", 5)

    blank = (after == image.min()).all(axis=(1, 2))
    assert blank.sum() == 5
    assert np.array_equal(after[~blank], image[~blank])


def test_slices_lost_at_a_mild_severity_are_lost_at_every_worse_one() -> None:
    image = heart()

    blank = [
        set(np.flatnonzero((changed(image, "blank-slices", s) == image.min()).all(axis=(1, 2))))
        for s in SEVERITIES
    ]

    assert all(mild < worse for mild, worse in itertools.pairwise(blank))


def test_repeated_slices_are_the_nearest_that_are_left() -> None:
    image = np.arange(10, dtype=np.float32)[:, None, None] * np.ones((1, 4, 4), np.float32)

    shown = changed(image, "repeated-slices", 5)[:, 0, 0]

    left = sorted(set(shown.tolist()))
    assert len(left) == 5
    assert all(abs(s - place) == min(abs(k - place) for k in left) for place, s in enumerate(shown))


def test_a_short_field_ends_at_one_end() -> None:
    image = heart()

    blank = (changed(image, "short-field", 3) == image.min()).all(axis=(1, 2))

    assert blank.tolist() in ([True] * 3 + [False] * 7, [False] * 7 + [True] * 3)


@pytest.mark.parametrize("kind", ["blank-slices", "repeated-slices", "short-field"])
def test_a_single_slice_is_not_lost(kind: str) -> None:
    image = heart()[:1]

    assert np.array_equal(changed(image, kind, 5), image)


def test_full_inversion_turns_the_brightest_into_the_darkest() -> None:
    image = heart()

    after = changed(image, "inversion", 5)

    assert after.argmin() == image.argmax()
    assert (after.min(), after.max()) == pytest.approx((image.min(), image.max()), rel=1e-6)


def test_noise_at_half_the_dose_has_the_variance_of_full_dose_added() -> None:
    flat = np.tile(np.linspace(0, 1000, 256, dtype=np.float32), (4, 256, 1))
    span = np.subtract(*np.percentile(flat, (99, 1)))

    noise = changed(flat, "low-dose", 1) - flat

    assert noise.std() == pytest.approx(0.01 * span, rel=1e-4)  # sqrt(1 / 0.5 - 1) = 1


def test_rician_noise_lifts_the_dark() -> None:
    image = np.zeros((2, 128, 128), dtype=np.float32)
    image[:, :16] = 100

    after = changed(image, "rician", 3)

    sd = 0.1 * 100  # of the 99th percentile
    assert after[:, 64:].mean() == pytest.approx(sd * math.sqrt(math.pi / 2), rel=0.03)  # Rayleigh


def test_a_spike_is_a_wave_of_one_frequency() -> None:
    image = heart()

    wave = np.abs(np.fft.fft2(changed(image, "spikes", 2) - image)[0])

    # the real part of one frequency is that frequency and its mirror image
    assert (wave > wave.max() / 100).sum() <= 2


def test_an_unchanged_image_has_infinite_psnr_and_one_with_a_tenth_of_noise_twenty() -> None:
    image = np.tile([0.0, 1.0], (1, 2, 4))

    assert peak_signal_to_noise(image, image) == math.inf
    assert peak_signal_to_noise(image, image + 0.1) == pytest.approx(20)


def test_what_cannot_be_corrupted_is_refused() -> None:
    for image, kind, severity in (
        (heart(), "earthquake", 1),
        (heart(), "blur", 6),
        (heart()[0], "blur", 1),
        (np.full((2, 4, 4), np.nan), "blur", 1),
    ):
        with pytest.raises(ValueError, match="expected"):
            corrupt(image, kind, severity, generator=np.random.default_rng(0))
