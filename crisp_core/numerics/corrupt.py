"""Artefacts by their words, at five severities: how a model is tried where it could fail.

Every corruption draws its directions first and then scales them by the severity: the same generator
state gives the same artefact, only stronger, so that figures over severities form one curve.
Severities follow TorchIO's ranges or, where those have none, the literature of each artefact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from crisp_core.arrays import FloatArray
from crisp_core.numerics import degradation, kspace

Corruption: TypeAlias = Callable[
    [FloatArray, Sequence[float], int, np.random.Generator], FloatArray
]
Modality: TypeAlias = Literal["any", "ct", "mr"]

SEVERITIES = (1, 2, 3, 4, 5)
CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {
        "motion": kspace.motion,
        "ghosting": kspace.ghosting,
        "spikes": kspace.spikes,
        "low-dose": degradation.low_dose,
        "rician": degradation.rician,
        "salt-and-pepper": degradation.salt_and_pepper,
        "blank-slices": degradation.blank_slices,
        "repeated-slices": degradation.repeated_slices,
        "short-field": degradation.short_field,
        "bias-field": degradation.bias_field,
        "blur": degradation.blur,
        "inversion": degradation.inversion,
    }
)
"""Every corruption by its word."""
ONLY: Mapping[str, Modality] = MappingProxyType(
    {
        "motion": "mr",
        "ghosting": "mr",
        "spikes": "mr",
        "low-dose": "ct",
        "rician": "mr",
        "bias-field": "mr",
    }
)
"""Corruptions that happen to images of one modality; the others happen to both."""

WHOLE_VOLUME = frozenset({"motion", "blank-slices", "repeated-slices", "short-field"})
"""What befalls every channel of a volume alike; anything else befalls each by itself."""


def corruptions_of(modality: Modality) -> tuple[str, ...]:
    """Return the words of what can happen to images of a modality, in the order of the table.

    Examples:
        >>> corruptions_of("ct")[:2]
        ('low-dose', 'salt-and-pepper')
    """
    return tuple(word for word in CORRUPTIONS if modality in {"any", ONLY.get(word, modality)})


def corrupt(
    image: FloatArray,
    kind: str,
    severity: int,
    *,
    generator: np.random.Generator,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
) -> FloatArray:
    """Return a corrupted copy of a volume, on the same grid.

    Args:
        image: (D, H, W), raw intensities.
        kind: One of `CORRUPTIONS`.
        severity: 1 (mild) to 5.
        generator: Source of every draw.
        spacing_mm: Along D, H, W; motion is a length.

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
    raw = np.asarray(image, np.float64)
    return np.asarray(CORRUPTIONS[kind](raw, spacing_mm, severity - 1, generator), np.float32)


def corrupt_channels(
    images: FloatArray, kind: str, severity: int, *, seed: int, spacing_mm: Sequence[float]
) -> FloatArray:
    """Return a corrupted copy of a volume with channels; the same seed gives the same artefact.

    Args:
        images: (C, D, H, W), raw intensities.
        kind: One of `CORRUPTIONS`; those of `WHOLE_VOLUME` draw once for all channels.
        severity: 1 (mild) to 5.
        seed: Of every draw.
        spacing_mm: Along D, H, W.

    Returns:
        float32 (C, D, H, W).

    Raises:
        ValueError: As `corrupt`.
    """
    keys = [[seed] if kind in WHOLE_VOLUME else [seed, number] for number in range(len(images))]
    changed = [
        corrupt(image, kind, severity, generator=np.random.default_rng(key), spacing_mm=spacing_mm)
        for image, key in zip(images, keys, strict=True)
    ]
    return np.stack(changed)


def peak_signal_to_noise(image: FloatArray, changed: FloatArray) -> float:
    """Return the PSNR in dB over the image's own range; infinite for an unchanged image."""
    error = float(np.mean((np.asarray(image, np.float64) - changed) ** 2))
    span = float(np.ptp(image))
    return 10 * math.log10(span**2 / error) if error else math.inf
