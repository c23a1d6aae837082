"""Another hospital's intensities without an image of it: 256 counts, and a curve that leads there.

Histograms of several hospitals over the same bins add up to that of all their voxels, so a
federation can make one reference without anybody's image.
"""

from __future__ import annotations

import torch

BINS = 256
LOW, HIGH = -1.0, 1.0
_FEWEST = 16


def foreground_histogram(images: torch.Tensor) -> torch.Tensor:
    """Count the intensities of each sample's foreground: voxels brighter than its mean.

    Args:
        images: float (B, ch, H, W) around [-1, 1]; what lies beyond falls into the last bins.

    Returns:
        float64 (B, BINS), counts. Sums over samples and sites are those of their union.

    Source:
        Nyul and Udupa, "On Standardizing the MR Image Intensity Scale", MRM 1999 (foreground).
    """
    flat = images.flatten(1)
    place = ((flat - LOW) * (BINS / (HIGH - LOW))).long().clamp_(0, BINS - 1)
    bright = (flat > flat.mean(dim=1, keepdim=True)).double()
    counts = torch.zeros(len(flat), BINS, dtype=torch.float64, device=images.device)
    return counts.scatter_add_(1, place, bright)


def matched(images: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Give each sample's foreground the quantiles of a reference histogram.

    Below its mean a sample is stretched so that the two parts meet; the order of intensities stays.

    Args:
        images: float (B, ch, H, W) around [-1, 1]. Not modified.
        reference: (BINS,), counts or shares of a foreground.

    Returns:
        A new array. A sample of fewer than 16 foreground voxels is left alone.

    Raises:
        ValueError: If the reference has another length, is negative or empty.
    """
    if reference.shape != (BINS,) or bool((reference < 0).any()) or not reference.sum() > 0:
        message = (
            f"expected {BINS} counts, not negative and not all 0, got {tuple(reference.shape)}"
        )
        raise ValueError(message)
    edges = torch.linspace(LOW, HIGH, BINS + 1, dtype=torch.float64)
    target = torch.cat([torch.zeros(1), reference.double().cpu().cumsum(0) / reference.sum().cpu()])
    result = images.clone()
    for index, image in enumerate(images):
        level = image.mean()
        bright = image > level
        if int(bright.sum()) >= _FEWEST:
            result[index] = _mapped(image, bright, level, edges, target)
    return result


def _mapped(
    image: torch.Tensor,
    bright: torch.Tensor,
    level: torch.Tensor,
    edges: torch.Tensor,
    target: torch.Tensor,
) -> torch.Tensor:
    """Send every foreground voxel from its rank to the reference's value at that rank."""
    values = image[bright].double()
    order = values.sort().values
    rank = (torch.searchsorted(order, values, right=True) - 0.5) / len(order)
    target, edges = target.to(image.device), edges.to(image.device)
    right = torch.searchsorted(target, rank).clamp(1, BINS)
    rise = (target[right] - target[right - 1]).clamp_min(1e-12)
    share = (rank - target[right - 1]) / rise
    foreground = edges[right - 1] + share * (edges[right] - edges[right - 1])
    least = foreground.min().to(image)
    black = torch.minimum(image.min(), torch.full_like(level, LOW))
    dark = black + (image - black) * ((least - black) / (level - black))
    return dark.masked_scatter(bright, foreground.to(image))
