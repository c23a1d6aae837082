"""What goes wrong while an image is measured: lines of k-space that do not belong together.

Every function takes a volume (D, H, W), the spacing along its axes in mm, a level from 0 (mild) to
4 and a generator. It draws first and scales by the level second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from crisp_core.arrays import FloatArray

Spectrum: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.complex128]]

MOTION_DEGREES = (2.0, 4.0, 6.0, 8.0, 10.0)
MOTION_MM = (2.0, 4.0, 6.0, 8.0, 10.0)
MOTION_REST = (0.30, 0.22, 0.15, 0.10, 0.06)
"""Share of the lines, around the centre of k-space, that are measured before anything moves."""
MOTION_EVENNESS = (0.35, 0.65)
"""Share of those that lie on one side of the centre."""
GHOST_STRENGTHS = (0.5, 0.625, 0.75, 0.875, 1.0)
GHOST_COUNTS = (4, 10)
GHOST_CENTRE = 0.02
"""Share of the lines, around the centre of k-space, that ghosting leaves alone."""
SPIKE_STRENGTHS = (0.1, 0.25, 0.5, 1.0, 2.0)


def motion(
    image: FloatArray, spacing_mm: Sequence[float], level: int, generator: np.random.Generator
) -> FloatArray:
    """Join lines of k-space that were measured in three poses, a turn and a shift apart.

    The lines at the centre are measured at rest: they show where things are, so that the anatomy
    stays where its mask is. Turns and shifts alone make no scale: outer lines are as wrong after a
    small move as after a large one, so the lines at rest become fewer as well.

    Source:
        Shaw et al., "MRI k-Space Motion Artefact Augmentation", MIDL 2019; ranges of TorchIO's
        RandomMotion: two moves of up to 10 degrees and 10 mm.
    """
    turns = generator.choice((-1.0, 1.0), 2) * math.radians(MOTION_DEGREES[level])
    ways = generator.uniform(0, 2 * math.pi, 2)
    shifts = MOTION_MM[level] * np.stack([np.cos(ways), np.sin(ways)], axis=1)
    before, after = (moved(image, spacing_mm, t, s) for t, s in zip(turns, shifts, strict=True))
    lines, rest = image.shape[1], MOTION_REST[level] * image.shape[1]
    start = lines // 2 - round(generator.uniform(*MOTION_EVENNESS) * rest)
    end = max(start + round(rest), lines // 2 + 1)
    joined = spectrum(image)
    joined[:, :start] = spectrum(before)[:, :start]
    joined[:, end:] = spectrum(after)[:, end:]
    return from_spectrum(joined)


def ghosting(
    image: FloatArray, spacing_mm: Sequence[float], level: int, generator: np.random.Generator
) -> FloatArray:
    """Weaken every n-th line but those at the centre.

    Source:
        Ranges of TorchIO's RandomGhosting: 4 to 10 ghosts, intensity 0.5 to 1, 2 % restored.
    """
    every = int(generator.integers(*GHOST_COUNTS, endpoint=True))
    lines = np.arange(image.shape[1])
    centre = np.abs(lines - image.shape[1] // 2) <= GHOST_CENTRE / 2 * image.shape[1]
    weakened = (lines % every == 0) & ~centre
    changed = spectrum(image)
    changed[:, weakened] *= 1 - GHOST_STRENGTHS[level]
    return from_spectrum(changed)


def spikes(
    image: FloatArray, spacing_mm: Sequence[float], level: int, generator: np.random.Generator
) -> FloatArray:
    """Add one wave to each slice: a single point of k-space that was measured far too strong."""
    height, width = image.shape[1:]
    row, column = (int(generator.integers(1, side)) if side > 1 else 0 for side in (height, width))
    changed = np.fft.fft2(image)
    changed[:, row, column] += SPIKE_STRENGTHS[level] * np.abs(changed).max(axis=(1, 2))
    return np.asarray(np.fft.ifft2(changed).real)


def spectrum(image: FloatArray) -> Spectrum:
    """Return each slice's k-space, its centre in the middle."""
    return np.fft.fftshift(np.fft.fft2(image), axes=(1, 2))


def from_spectrum(changed: Spectrum) -> FloatArray:
    """Return the real part of the slices behind `changed`."""
    return np.asarray(np.fft.ifft2(np.fft.ifftshift(changed, axes=(1, 2))).real)


def moved(
    image: FloatArray, spacing_mm: Sequence[float], angle: float, shift_mm: FloatArray
) -> FloatArray:
    """Turn and shift every slice about its centre in mm, linearly interpolated.

    Args:
        image: (D, H, W).
        spacing_mm: Along D, H, W.
        angle: In radians.
        shift_mm: (2,) along H, W.
    """
    mm = np.asarray(spacing_mm[1:], np.float64)
    turn_mm = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turn = turn_mm * mm / mm[:, None]  # in pixels, which need not be square
    centre = (np.array(image.shape[1:]) - 1) / 2
    whole = np.eye(3)
    whole[1:, 1:] = turn
    offset = (0.0, *(centre - turn @ (centre + shift_mm / mm)))
    return np.asarray(ndimage.affine_transform(image, whole, offset, order=1, mode="nearest"))
