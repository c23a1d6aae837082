"""What an image loses between body and archive: dose, slices, evenness, sharpness, contrast.

Every function takes a volume (D, H, W), the spacing along its axes in mm, a level from 0 (mild) to
4 and a generator. It draws first and scales by the level second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from crisp_core.arrays import FloatArray, IntArray

DOSES = (0.5, 0.25, 0.1, 0.05, 0.02)
NOISE_GRAIN_PX = 0.7
NOISE_WINDOW_PX = 7
NOISE_PERCENTILE = 10
LEAST_NOISE = 1e-3
ASSUMED_NOISE = 0.01
"""Share of the intensity range that is taken for the noise where none can be measured."""
RICIAN_SHARES = (0.02, 0.05, 0.10, 0.15, 0.20)
IMPULSE_SHARES = (0.001, 0.0025, 0.005, 0.01, 0.02)
MISSING_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
BIAS_STRENGTHS = (0.1, 0.2, 0.3, 0.5, 0.8)
BIAS_ORDER = 3
BLUR_PX = (0.5, 1.0, 1.5, 2.0, 3.0)
INVERSION_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
RANGE_PERCENTILES = (1, 99)


def low_dose(
    image: FloatArray, spacing_mm: Sequence[float], level: int, generator: np.random.Generator
) -> FloatArray:
    """Add grainy noise whose variance grows as the dose falls: sd = sd_0 sqrt(1 / dose - 1).

    sd_0 is the noise of this image at its own dose, see `noise_level`.

    Source:
        Zabic et al., "A low dose simulation tool for CT systems with energy integrating
        detectors", Medical Physics 2013 (variance against dose), in the image's domain.
    """
    grain = ndimage.gaussian_filter(
        generator.normal(size=image.shape), (0, NOISE_GRAIN_PX, NOISE_GRAIN_PX)
    )
    sd = noise_level(image) * math.sqrt(1 / DOSES[level] - 1)
    return np.asarray(image + grain / grain.std() * sd)


def noise_level(image: FloatArray) -> float:
    """Estimate the noise where the image is most even, in the image's unit.

    The tenth percentile of the standard deviation in windows that are brighter than the middle of
    the range (tissue, not air or lung) and hold no voxel at the image's least value. An image
    without any noise is taken to have 1 % of its range.
    """
    low, high = intensity_range(image)
    window = (1, NOISE_WINDOW_PX, NOISE_WINDOW_PX)
    mean = ndimage.uniform_filter(image, window)
    variance = ndimage.uniform_filter(np.square(image), window) - np.square(mean)
    tissue = (mean > (low + high) / 2) & (ndimage.minimum_filter(image, window) > image.min())
    measured = np.sqrt(np.clip(variance[tissue], 0, None))
    sd = float(np.percentile(measured, NOISE_PERCENTILE)) if measured.size else 0.0
    return sd if sd > LEAST_NOISE * (high - low) else ASSUMED_NOISE * (high - low)


def rician(
    image: FloatArray, spacing_mm: Sequence[float], level: int, generator: np.random.Generator
) -> FloatArray:
    """Take the magnitude of a signal with noise in both of its channels.

    No signal is 0, or the least value of an image that goes below.

    Source:
        Gudbjartsson and Patz, "The Rician Distribution of Noisy MRI Data", MRM 1995.
    """
    floor = min(float(image.min()), 0.0)
    sd = RICIAN_SHARES[level] * (intensity_range(image)[1] - floor)
    real, imaginary = generator.normal(size=(2, *image.shape)) * sd
    return np.asarray(np.hypot(image - floor + real, imaginary) + floor)


def salt_and_pepper(
    image: FloatArray, spacing_mm: Sequence[float], level: int, generator: np.random.Generator
) -> FloatArray:
    """Set single voxels to the image's least or greatest value."""
    chance, bright = generator.random((2, *image.shape))
    extreme = np.where(bright < 1 / 2, image.min(), image.max())
    return np.where(chance < IMPULSE_SHARES[level], extreme, image)


def blank_slices(
    image: FloatArray, spacing_mm: Sequence[float], level: int, generator: np.random.Generator
) -> FloatArray:
    """Lose slices and leave them at the image's least value."""
    changed = image.copy()
    changed[_lost(image, level, generator)] = image.min()
    return changed


def repeated_slices(
    image: FloatArray, spacing_mm: Sequence[float], level: int, generator: np.random.Generator
) -> FloatArray:
    """Lose slices and show the nearest one that is left."""
    kept = np.setdiff1d(np.arange(len(image)), _lost(image, level, generator))
    nearest = np.abs(np.arange(len(image))[:, None] - kept).argmin(axis=1)
    return np.asarray(image[kept[nearest]])


def short_field(
    image: FloatArray, spacing_mm: Sequence[float], level: int, generator: np.random.Generator
) -> FloatArray:
    """Stop too early at one end: those slices are at the image's least value."""
    count = _lost_count(image, level)
    changed = image.copy()
    at_the_start = generator.random() < 1 / 2
    changed[slice(0, count) if at_the_start else slice(len(image) - count, None)] = image.min()
    return changed


def bias_field(
    image: FloatArray, spacing_mm: Sequence[float], level: int, generator: np.random.Generator
) -> FloatArray:
    """Multiply by a smooth field, the exponential of a cubic polynomial of the place."""
    axes = [np.linspace(-1, 1, side) if side > 1 else np.zeros(1) for side in image.shape]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    powers = [
        (i, j, k)
        for i in range(BIAS_ORDER + 1)
        for j in range(BIAS_ORDER + 1 - i)
        for k in range(BIAS_ORDER + 1 - i - j)
        if i + j + k
    ]
    weights = generator.uniform(-1, 1, len(powers)) * BIAS_STRENGTHS[level]
    terms = (w * z**i * y**j * x**k for w, (i, j, k) in zip(weights, powers, strict=True))
    low = image.min()
    return np.asarray(low + (image - low) * np.exp(sum(terms)))


def blur(
    image: FloatArray, spacing_mm: Sequence[float], level: int, generator: np.random.Generator
) -> FloatArray:
    """Smooth each slice; nothing is drawn."""
    return np.asarray(ndimage.gaussian_filter(image, (0, BLUR_PX[level], BLUR_PX[level])))


def inversion(
    image: FloatArray, spacing_mm: Sequence[float], level: int, generator: np.random.Generator
) -> FloatArray:
    """Turn bright into dark, the brightest tissue first and all of it at the end.

    A plain blend of an image with its negative is the image or the negative again once its
    intensities are scaled, as they are before every network: this one bends the order of tissues.
    Every voxel moves further the worse it gets; nothing is drawn.
    """
    low, high = intensity_range(image)
    share = np.clip((image - low) / max(high - low, np.finfo(float).tiny), 0, 1)
    weight = np.clip(share + 2 * INVERSION_SHARES[level] - 1, 0, 1)
    return np.asarray(image + weight * (low + high - 2 * image))


def intensity_range(image: FloatArray) -> tuple[float, float]:
    """Return the 1st and 99th percentile."""
    low, high = np.percentile(image, RANGE_PERCENTILES)
    return float(low), float(high)


def _lost(image: FloatArray, level: int, generator: np.random.Generator) -> IntArray:
    """Return the slices that are lost; those of a mild severity are lost at every worse one."""
    return generator.permutation(len(image))[: _lost_count(image, level)]


def _lost_count(image: FloatArray, level: int) -> int:
    """At least one slice is lost and one is left; a single slice is not lost."""
    return min(max(1, round(MISSING_SHARES[level] * len(image))), len(image) - 1)
