"""Tone curves: what another scanner's display makes of the same intensities."""

from __future__ import annotations

import torch
from torch.nn import functional

from crisp_core.numerics.samples import changed

KNOTS = 128
"""Values of a tone curve, evenly spaced over [-1, 1]; straight lines between them."""
SHIFT_POINTS = 10
_TINY = 1e-12


def with_curve(images: torch.Tensor, curve: torch.Tensor) -> torch.Tensor:
    """Map intensities through each sample's tone curve; outside [-1, 1] they move with its ends.

    Args:
        images: (B, ch, H, W).
        curve: (B, K), values at K even steps from -1 to 1.
    """
    return changed(images, (mapped, curve))


def mapped(image: torch.Tensor, curve: torch.Tensor) -> None:
    """Look up each value's straight line; the first and the last line go on beyond the range."""
    steps, scale = torch.linspace(-1, 1, len(curve)), (len(curve) - 1) / 2
    if torch.equal(curve, steps.to(curve)):
        return
    slopes = functional.pad(curve.diff() * scale, (1, 1), value=1.0)
    offsets = torch.cat([curve[:1], curve]) - slopes * torch.cat([steps[:1], steps])
    lines = torch.complex(offsets, slopes).to(image.device, image.dtype.to_complex())
    line = (image * scale).add_(1 + scale).clamp_(0, len(curve)).to(torch.int32)
    found = torch.view_as_real(lines.index_select(0, line.flatten()).view_as(image))
    torch.addcmul(found[..., 0], image, found[..., 1], out=image)


def histogram_curve(count: int, generator: torch.Generator) -> torch.Tensor:
    """Return (count, KNOTS): control points moved at random between their neighbours, in order.

    Source:
        MONAI, RandHistogramShift.
    """
    points = torch.linspace(-1, 1, SHIFT_POINTS).repeat(count, 1)
    draws = torch.rand(count, SHIFT_POINTS, generator=generator)
    for place in range(1, SHIFT_POINTS - 1):
        low, high = points[:, place - 1], points[:, place + 1]
        points[:, place] = low + (high - low) * draws[:, place]
    return joined(points, torch.linspace(-1, 1, KNOTS).repeat(count, 1))


def bezier_curve(
    count: int, generator: torch.Generator, inversion_probability: float
) -> torch.Tensor:
    """Return (count, KNOTS): a rising cubic Bezier curve, or its mirror image (dark for bright).

    Source:
        Zhou et al., "Models Genesis", MICCAI 2019, section 3 (non-linear transformation).
    """
    inner = torch.rand(count, 2, 2, generator=generator).sort(dim=1).values  # (count, point, axis)
    ends = torch.tensor([0.0, 1.0]).view(1, 2, 1).expand(count, 2, 2)
    points = torch.cat([ends[:, :1], inner, ends[:, 1:]], dim=1)
    t = torch.linspace(0, 1, KNOTS)
    weights = torch.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    x, y = (2 * torch.einsum("kt,bk->bt", weights, points[..., axis]) - 1 for axis in (0, 1))
    steps = torch.linspace(-1, 1, KNOTS).repeat(count, 1)
    right = torch.searchsorted(x.contiguous(), steps).clamp(1, KNOTS - 1)
    x0, x1, y0, y1 = (side.gather(1, place) for side in (x, y) for place in (right - 1, right))
    curve = y0 + (y1 - y0) * ((steps - x0) / (x1 - x0).clamp_min(_TINY)).clamp(0, 1)
    mirrored = torch.rand(count, 1, generator=generator) < inversion_probability
    return torch.where(mirrored, -curve, curve)


def joined(curves: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Map each row of values (B, N) in [-1, 1] through its own curve of (B, K)."""
    last = curves.shape[1] - 1
    place = (values.clamp(-1, 1) + 1) * (last / 2)
    left = place.long().clamp_(max=last - 1)
    return curves.gather(1, left).addcmul(curves.diff(dim=1).gather(1, left), place - left)
