"""How disturbed an image is, told from the image alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import BoolArray, FloatArray

PERCENTILES = (1.0, 99.0)
SIGMA_OF_MAD = 1.4826
"""Standard deviation of normal noise per median absolute deviation."""
LAPLACE_GAIN = 6.0
"""Standard deviation of the response of the mask (1 -2 1) x (1 -2 1) to noise of 1."""
SHARP = 0.25
"""Steepest edge, as a share of the intensity range from pixel to pixel, of a sharp image."""
EMPTY_SHARE = 0.02
"""A slice that varies less than this share of the range holds nothing."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What is wrong with an image; each 0 where nothing is.

    Attributes:
        noise: Standard deviation of what changes from pixel to pixel, as a share of the range.
        blur: How much the steepest edges lack of a sharp image's, 0 to 1.
        lost: Share of the slices that are blank or the same as their neighbour.
    """

    noise: float
    blur: float
    lost: float

    @property
    def score(self) -> float:
        """One number: the sum, in units in which each is bad at about 1."""
        return self.noise / 0.1 + self.blur + self.lost / 0.2


def disturbance(image: FloatArray) -> Disturbance:
    """Measure noise, blur and lost slices of a volume.

    Neither the unit of the intensities nor their offset matters. It does not see ghosts, motion,
    single white pixels, a bias field or an inverted contrast, and a little blur that takes noise
    away looks like an improvement: it is no replacement for a person's look.

    Args:
        image: (D, H, W), any range, finite.

    Source:
        Noise: Immerkaer, "Fast Noise Variance Estimation", CVIU 1996, with a median in place of
        the mean, so that edges do not count.
    """
    low, high = (float(value) for value in np.percentile(image, PERCENTILES))
    if high == low:
        return Disturbance(0.0, 0.0, 0.0)
    scaled = np.clip((np.asarray(image, np.float32) - low) / (high - low), -1, 2)
    lost = _lost(scaled)
    kept = scaled[~lost] if not lost.all() else scaled
    return Disturbance(_noise(kept), _blur(kept), float(lost.mean()))


def artefact_score(image: FloatArray) -> float:
    """Return the score of `disturbance`; more is worse."""
    return disturbance(image).score


def _noise(slices: FloatArray) -> float:
    """Robust standard deviation of the twice differenced slices."""
    if min(slices.shape[1:]) < 3:  # noqa: PLR2004 - the mask is 3 x 3
        return 0.0
    rows = slices[:, :-2] - 2 * slices[:, 1:-1] + slices[:, 2:]
    both = rows[..., :-2] - 2 * rows[..., 1:-1] + rows[..., 2:]
    return SIGMA_OF_MAD * float(np.median(np.abs(both))) / LAPLACE_GAIN


def _blur(slices: FloatArray) -> float:
    """Compare the steepest edges, freed of the noise's part, with those of a sharp image."""
    down, right = np.abs(np.diff(slices, axis=1)), np.abs(np.diff(slices, axis=2))
    steep = max(float(np.quantile(step, 0.995)) for step in (down, right) if step.size)
    noise = 3 * np.sqrt(2) * _noise(slices)  # 99.5 % of the differences of two noisy pixels
    edge = float(np.sqrt(max(steep**2 - noise**2, 0.0)))
    return max(0.0, 1 - edge / SHARP)


def _lost(slices: FloatArray) -> BoolArray:
    """Mark slices that hold nothing, or what the slice before them holds."""
    lost = slices.std(axis=(1, 2)) < EMPTY_SHARE
    lost[1:] |= (slices[1:] == slices[:-1]).all(axis=(1, 2))
    return np.asarray(lost)
