"""The guard: which recursion to answer with, judged without labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from crisp_core.numerics.information import entropy_of
from crisp_core.numerics.odds import blocks_of

FLOOR_PIXELS = 20
"""Foreground below this many pixels of a 64 x 64 slice counts as this many."""
FLOOR_AREA_PIXELS = 64 * 64


def guard_entropy(probabilities: torch.Tensor) -> float:
    """Return the entropy per predicted foreground pixel of one volume.

    u = sum of the entropy (nats) of P / max(a, sum of 1 - P_background), with a = 20 pixels at
    64 x 64, scaled with the area of a slice.

    Args:
        probabilities: (D, K, H, W), background first.

    Returns:
        u >= 0; 0 when every pixel is certain.

    Raises:
        ValueError: If a probability is NaN.

    Examples:
        >>> certain = torch.zeros(1, 2, 64, 64)
        >>> certain[:, 1] = 1
        >>> guard_entropy(certain)
        0.0
    """
    height, width = probabilities.shape[-2:]
    wide = probabilities if probabilities.dtype == torch.float64 else probabilities.float()
    entropy = sum(float(entropy_of(block).sum(dtype=torch.float64)) for _, block in blocks_of(wide))
    foreground = float((1 - wide[:, 0]).sum(dtype=torch.float64))
    if math.isnan(entropy):
        message = f"probabilities {tuple(probabilities.shape)} hold NaN"
        raise ValueError(message)
    return entropy / max(FLOOR_PIXELS * height * width / FLOOR_AREA_PIXELS, foreground)


def choose(entropies: Sequence[float]) -> int:
    """Return the index of the smallest entropy, the first of equals.

    Raises:
        ValueError: If there is none, or one is NaN.
    """
    if not entropies or any(math.isnan(entropy) for entropy in entropies):
        message = f"the guard needs at least one entropy and no NaN, got {list(entropies)}"
        raise ValueError(message)
    return min(range(len(entropies)), key=entropies.__getitem__)
