from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from crisp_core.files.phantom_cohort import KINDS
from crisp_core.files.volumes import read_image
from crisp_core.numerics.corrupt import (
    CORRUPTIONS,
    ONLY,
    SEVERITIES,
    corrupt,
    corruptions_of,
    peak_signal_to_noise,
)
from crisp_core.numerics.degradation import noise_level
from crisp_core.numerics.kspace import moved

EVERY = sorted(CORRUPTIONS)
SHARED = Path(os.environ.get("CRISP_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


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


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_the_severities_of_a_phantom_never_come_closer_again(kind: str) -> None:
    case = next(iter(KINDS[kind].patient(KINDS[kind].sites[0], 0, seed=1)))
    spacing = np.linalg.norm(case.affine[:3, :3], axis=0)
    thick = int(spacing.argmax())
    image = np.moveaxis(case.image, thick, 0)[:8]

    assert broken_orders(image, np.roll(spacing, -thick)) == []


@pytest.mark.data
@pytest.mark.long
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no shared data sets in {SHARED}")
def test_the_severities_of_real_volumes_never_come_closer_again() -> None:
    files = sorted(SHARED.glob("*/*/images/*.nii.gz"))[::24]

    for volume in map(read_image, files):
        assert broken_orders(volume.array[0][:12], volume.grid.spacing_mm) == []


def broken_orders(image: np.ndarray, spacing: Sequence[float]) -> list[str]:
    """Name what comes closer to the image as it gets worse; slices may be too few to get worse."""
    broken = []
    for kind, seed in itertools.product(EVERY, range(2)):
        ratios = [
            peak_signal_to_noise(
                image,
                corrupt(image, kind, s, generator=np.random.default_rng(seed), spacing_mm=spacing),
            )
            for s in SEVERITIES
        ]
        if any(mild < worse for mild, worse in itertools.pairwise(ratios)):
            broken.append(f"{kind} {ratios}")
    return broken


@pytest.mark.parametrize("kind", EVERY)
def test_the_image_that_came_is_left_alone_and_shape_stays(kind: str) -> None:
    image = heart()
    before = image.copy()

    after = changed(image, kind, 5)

    assert np.array_equal(image, before)
    assert (after.shape, after.dtype) == (image.shape, np.float32)
    assert np.isfinite(after).all()


def test_the_centre_of_k_space_stays_and_with_it_the_place_of_what_is_seen() -> None:
    image = heart()

    after = changed(image, "motion", 5)

    spectra = [
        np.fft.fftshift(np.fft.fft(one.mean(axis=2), axis=1), axes=1) for one in (image, after)
    ]
    np.testing.assert_allclose(spectra[1][:, 31:33], spectra[0][:, 31:33], rtol=1e-4)
    assert not np.allclose(spectra[1][:, 40], spectra[0][:, 40], rtol=0.05)


def test_a_shift_of_six_millimetres_is_three_pixels_of_two() -> None:
    image = heart()[:1]

    shifted = moved(image, (8.0, 2.0, 1.0), 0.0, np.array([6.0, 0.0]))

    np.testing.assert_allclose(shifted[0, 3:], image[0, :-3], rtol=1e-6)


def test_a_quarter_turn_in_millimetres_swaps_the_axes_of_oblong_pixels() -> None:
    image = np.zeros((1, 41, 81))
    image[0, 25, 40] = 1.0  # 5 pixels of 2 mm below the middle

    turned = moved(image, (8.0, 2.0, 1.0), math.radians(90), np.zeros(2))

    row, column = np.unravel_index(turned[0].argmax(), turned[0].shape)
    assert (row, abs(int(column) - 40)) == (20, 10)  # 10 pixels of 1 mm beside it


def test_a_small_inversion_dims_the_brightest_and_leaves_the_dark() -> None:
    ramp = np.tile(np.linspace(0, 100, 101, dtype=np.float32), (2, 2, 1))

    after = changed(ramp, "inversion", 1)[0, 0]

    assert after[100] == pytest.approx(100 - 0.4 * 100, abs=2)  # weight 1 + 0.4 - 1
    np.testing.assert_allclose(after[:60], ramp[0, 0, :60])


def test_every_hundredth_of_the_voxels_is_at_an_end_of_the_range() -> None:
    image = heart()

    after = changed(image, "salt-and-pepper", 4)

    assert (after != image).mean() == pytest.approx(0.01, rel=0.2)
    assert set(np.unique(after[after != image])) == {image.min(), image.max()}


def test_a_ct_has_no_k_space_and_an_mr_image_no_dose() -> None:
    ct, mr = corruptions_of("ct"), corruptions_of("mr")

    assert "low-dose" in ct
    assert not {"motion", "ghosting", "spikes", "rician", "bias-field"} & set(ct)
    assert set(CORRUPTIONS) - set(mr) == {"low-dose"}
    assert corruptions_of("any") == tuple(CORRUPTIONS)
    assert set(ONLY) <= set(CORRUPTIONS)


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
    np.testing.assert_allclose(after + image, (after + image).mean(), rtol=1e-5)


def noisy_disc(sd: float) -> np.ndarray:
    y, x = np.mgrid[:96, :96] - 47.5
    tissue = np.where(np.hypot(x, y) < 40, 50.0, -1000.0)
    noise = np.random.default_rng(0).normal(0, sd, (4, 96, 96))
    return np.where(tissue > 0, tissue + noise, tissue).astype(np.float32)


def test_noise_is_measured_in_even_tissue_and_neither_in_air_nor_across_edges() -> None:
    assert noise_level(noisy_disc(12.0)) == pytest.approx(12.0, rel=0.2)


def test_an_image_without_noise_is_taken_to_have_a_hundredth_of_its_range() -> None:
    assert noise_level(noisy_disc(0.0)) == pytest.approx(0.01 * 1050)


def test_noise_at_half_the_dose_has_the_variance_of_full_dose_added() -> None:
    disc = noisy_disc(12.0)

    noise = changed(disc, "low-dose", 1) - disc

    assert noise.std() == pytest.approx(noise_level(disc), rel=1e-3)  # sqrt(1 / 0.5 - 1) = 1


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
