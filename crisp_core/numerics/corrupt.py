"""What scanners do to images when something goes wrong, at five severities.

Every corruption draws its directions first and then scales them by the severity: the same generator
state gives the same artefact, only stronger, so that figures over severities form one curve.
Severities follow TorchIO's ranges or, where those have none, the literature of each artefact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from crisp_core.arrays import FloatArray, IntArray

Corruption: TypeAlias = Callable[[FloatArray, int, np.random.Generator], FloatArray]
SEVERITIES = (1, 2, 3, 4, 5)
MOTION_DEGREES = (2.0, 4.0, 6.0, 8.0, 10.0)
MOTION_SHIFT_SHARES = (0.01, 0.02, 0.03, 0.04, 0.05)
"""Of the image's side; 10 mm is about 3 % of a heart's field of view."""
MOTION_MOVES = 2
GHOST_STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)
GHOST_COUNTS = (4, 10)
SPIKE_STRENGTHS = (0.1, 0.25, 0.5, 1.0, 2.0)
DOSES = (0.5, 0.25, 0.1, 0.05, 0.02)
FULL_DOSE_NOISE = 0.01
"""Standard deviation at full dose as a share of the intensity range."""
NOISE_GRAIN_PX = 0.7
RICIAN_SHARES = (0.02, 0.05, 0.10, 0.15, 0.20)
MISSING_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
BIAS_STRENGTHS = (0.1, 0.2, 0.3, 0.5, 0.8)
BIAS_ORDER = 3
BLUR_PX = (0.5, 1.0, 1.5, 2.0, 3.0)
INVERSION_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
KEPT_CENTRE = 0.05
"""Share of k-space lines around its centre that ghosting leaves alone."""
RANGE_PERCENTILES = (1, 99)


def corrupt(
    image: FloatArray, kind: str, severity: int, *, generator: np.random.Generator
) -> FloatArray:
    """Return a corrupted copy of a volume.

    Args:
        image: (D, H, W), raw intensities.
        kind: One of `CORRUPTIONS`.
        severity: 1 (mild) to 5.
        generator: Source of every draw.

    Returns:
        float32 (D, H, W).

    Raises:
        ValueError: If the kind or the severity is unknown, the image is not three-dimensional, or
            a value is not finite.
    """
    if kind not in CORRUPTIONS or severity not in SEVERITIES:
        message = (
            f"expected one of {', '.join(CORRUPTIONS)} at severity 1 to 5, got {kind!r} {severity}"
        )
        raise ValueError(message)
    if image.ndim != len("DHW") or not np.isfinite(image).all():
        message = f"expected a finite volume (D, H, W), got {image.ndim} axes or odd values"
        raise ValueError(message)
    changed = CORRUPTIONS[kind](np.asarray(image, np.float64), severity - 1, generator)
    return np.asarray(changed, np.float32)


def peak_signal_to_noise(image: FloatArray, changed: FloatArray) -> float:
    """Return the PSNR in dB over the image's own range; infinite for an unchanged image."""
    error = float(np.mean((np.asarray(image, np.float64) - changed) ** 2))
    span = float(np.ptp(image))
    return 10 * math.log10(span**2 / error) if error else math.inf


def _motion(image: FloatArray, level: int, generator: np.random.Generator) -> FloatArray:
    """Join k-space lines that were measured before, between and after small rigid moves."""
    lines = image.shape[1]
    times = np.sort(generator.uniform(0.1, 0.9, MOTION_MOVES)) * lines
    turns, rows, columns = generator.uniform(-1, 1, (3, MOTION_MOVES))
    spectrum = _spectrum(image)
    for move in range(MOTION_MOVES):
        shift = MOTION_SHIFT_SHARES[level] * np.array(image.shape[1:])
        moved = _moved(
            image,
            math.radians(MOTION_DEGREES[level] * turns[move]),
            shift * (rows[move], columns[move]),
        )
        start = int(times[move])
        spectrum[:, start:] = _spectrum(moved)[:, start:]
    return _from_spectrum(spectrum)


def _moved(image: FloatArray, angle: float, shift: FloatArray) -> FloatArray:
    """Turn and shift every slice about its centre, linearly interpolated."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre = (np.array(image.shape[1:]) - 1) / 2
    offset = centre - turn @ (centre + shift)
    whole = np.eye(3)
    whole[1:, 1:] = turn
    return np.asarray(
        ndimage.affine_transform(image, whole, (0.0, *offset), order=1, mode="nearest")
    )


def _ghosting(image: FloatArray, level: int, generator: np.random.Generator) -> FloatArray:
    """Weaken every n-th k-space line but those at the centre."""
    every = int(generator.integers(*GHOST_COUNTS, endpoint=True))
    lines = np.arange(image.shape[1])
    centre = np.abs(lines - image.shape[1] // 2) <= KEPT_CENTRE * image.shape[1]
    weakened = (lines % every == 0) & ~centre
    spectrum = _spectrum(image)
    spectrum[:, weakened] *= 1 - GHOST_STRENGTHS[level]
    return _from_spectrum(spectrum)


def _spikes(image: FloatArray, level: int, generator: np.random.Generator) -> FloatArray:
    """Add one wave to each slice: a single k-space point that was measured far too strong."""
    spectrum = np.fft.fft2(image)
    height, width = image.shape[1:]
    row, column = (int(generator.integers(1, side)) for side in (height, width))
    strength = SPIKE_STRENGTHS[level] * np.abs(spectrum).max(axis=(1, 2))
    spectrum[:, row, column] += strength
    return np.asarray(np.fft.ifft2(spectrum).real)


def _low_dose(image: FloatArray, level: int, generator: np.random.Generator) -> FloatArray:
    """Add grainy noise whose variance grows as the dose falls: sd = sd_0 sqrt(1 / dose - 1)."""
    grain = ndimage.gaussian_filter(
        generator.normal(size=image.shape), (0, NOISE_GRAIN_PX, NOISE_GRAIN_PX)
    )
    low, high = _range(image)
    sd = FULL_DOSE_NOISE * (high - low) * math.sqrt(1 / DOSES[level] - 1)
    return np.asarray(image + grain / grain.std() * sd)


def _rician(image: FloatArray, level: int, generator: np.random.Generator) -> FloatArray:
    """Take the magnitude of a signal with noise in both channels; negative values count as none."""
    sd = RICIAN_SHARES[level] * max(_range(image)[1], 0)
    real, imaginary = generator.normal(size=(2, *image.shape)) * sd
    return np.asarray(np.hypot(np.maximum(image, 0) + real, imaginary))


def _blank_slices(image: FloatArray, level: int, generator: np.random.Generator) -> FloatArray:
    """Lose slices and leave them at the image's least value."""
    changed = image.copy()
    changed[_lost(image, level, generator)] = image.min()
    return changed


def _repeated_slices(image: FloatArray, level: int, generator: np.random.Generator) -> FloatArray:
    """Lose slices and show the nearest one that is left."""
    kept = np.setdiff1d(np.arange(len(image)), _lost(image, level, generator))
    nearest = np.abs(np.arange(len(image))[:, None] - kept).argmin(axis=1)
    return np.asarray(image[kept[nearest]])


def _short_field(image: FloatArray, level: int, generator: np.random.Generator) -> FloatArray:
    """Stop scanning too early at one end: those slices are at the image's least value."""
    count = _lost_count(image, level)
    changed = image.copy()
    at_the_start = generator.random() < 1 / 2
    changed[slice(0, count) if at_the_start else slice(len(image) - count, None)] = image.min()
    return changed


def _bias_field(image: FloatArray, level: int, generator: np.random.Generator) -> FloatArray:
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


def _blur(image: FloatArray, level: int, generator: np.random.Generator) -> FloatArray:
    """Smooth each slice."""
    del generator  # nothing is drawn
    return np.asarray(ndimage.gaussian_filter(image, (0, BLUR_PX[level], BLUR_PX[level])))


def _inversion(image: FloatArray, level: int, generator: np.random.Generator) -> FloatArray:
    """Blend the image with its negative over the same range."""
    del generator  # nothing is drawn
    share = INVERSION_SHARES[level]
    negative = image.min() + image.max() - image
    return np.asarray((1 - share) * image + share * negative)


CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {
        "motion": _motion,
        "ghosting": _ghosting,
        "spikes": _spikes,
        "low-dose": _low_dose,
        "rician": _rician,
        "blank-slices": _blank_slices,
        "repeated-slices": _repeated_slices,
        "short-field": _short_field,
        "bias-field": _bias_field,
        "blur": _blur,
        "inversion": _inversion,
    }
)
"""Every corruption by its word."""


def _lost(image: FloatArray, level: int, generator: np.random.Generator) -> IntArray:
    """Return the slices that are lost; those of a mild severity are lost at every worse one."""
    return generator.permutation(len(image))[: _lost_count(image, level)]


def _lost_count(image: FloatArray, level: int) -> int:
    """At least one slice is lost and one is left; a single slice is not lost."""
    return min(max(1, round(MISSING_SHARES[level] * len(image))), len(image) - 1)


def _spectrum(image: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.complex128]]:
    """Return each slice's k-space with its centre in the middle."""
    return np.fft.fftshift(np.fft.fft2(image), axes=(1, 2))


def _from_spectrum(spectrum: np.ndarray[tuple[int, ...], np.dtype[np.complex128]]) -> FloatArray:
    return np.asarray(np.fft.ifft2(np.fft.ifftshift(spectrum, axes=(1, 2))).real)


def _range(image: FloatArray) -> Sequence[float]:
    low, high = np.percentile(image, RANGE_PERCENTILES)
    return float(low), float(high)
