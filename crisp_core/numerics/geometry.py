"""Geometric augmentation: one affine map per sample, drawn first and applied to all it holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class AffineDraw:
    """One map per sample, in pixel units of the image plane.

    Attributes:
        angle_rad: float32 (B,).
        scale: float32 (B,), above 1 enlarges.
        shift: float32 (B, 2), rows then columns, as a fraction of height and width.
        mirrored: bool (B,), left and right exchanged.
    """

    angle_rad: torch.Tensor
    scale: torch.Tensor
    shift: torch.Tensor
    mirrored: torch.Tensor


def draw_affine(
    count: int,
    *,
    generator: torch.Generator,
    degrees: float = 15,
    scale: float = 0.15,
    shift: float = 0.1,
    flip: bool = False,
) -> AffineDraw:
    """Draw rotation, scale and shift of `count` samples uniformly.

    Args:
        count: Number of samples.
        generator: Source of the draws.
        degrees: Largest rotation to either side.
        scale: Sizes are drawn from 1 - scale to 1 + scale.
        shift: Largest shift to either side, as a fraction of the side.
        flip: Mirror every other sample, on average. Off for organs with a side.
    """
    uniform = 2 * torch.rand(count, 4, generator=generator) - 1
    coin = torch.rand(count, generator=generator) < 0.5  # noqa: PLR2004 - a fair coin
    return AffineDraw(
        angle_rad=uniform[:, 0] * math.radians(degrees),
        scale=1 + uniform[:, 1] * scale,
        shift=uniform[:, 2:] * shift,
        mirrored=coin & flip,
    )


def apply_affine(
    x: torch.Tensor,
    draw: AffineDraw,
    mode: Literal["bilinear", "nearest"] = "bilinear",
    fill: float | torch.Tensor = 0.0,
) -> torch.Tensor:
    """Move every sample by its own map about the centre of the image.

    Args:
        x: (B, ch, H, W). Integer and bool arrays keep their dtype; use "nearest" for them.
        draw: One map per sample.
        mode: Interpolation.
        fill: Value outside the image, one number or one per channel (hints: 0 for the first
            half of the channels, 1 for the second, the null hint).

    Returns:
        (B, ch, H, W), same dtype.

    Raises:
        ValueError: If the draw is for another number of samples.
    """
    if len(x) != len(draw.scale):
        message = f"{len(x)} samples but {len(draw.scale)} maps"
        raise ValueError(message)
    values = x if x.is_floating_point() else x.float()
    outside = torch.as_tensor(fill, dtype=values.dtype, device=x.device).reshape(-1, 1, 1)
    grid = functional.affine_grid(
        _inverse_maps(draw, x.shape[-2], x.shape[-1]).to(values), list(x.shape), align_corners=False
    )
    moved = functional.grid_sample(values - outside, grid, mode=mode, align_corners=False)
    return (moved + outside).to(x.dtype)


def null_fill(class_count: int) -> torch.Tensor:
    """Return the per-channel fill of a hint of 2C channels: C zeros, then C ones."""
    return torch.cat([torch.zeros(class_count), torch.ones(class_count)])


def _inverse_maps(draw: AffineDraw, height: int, width: int) -> torch.Tensor:
    """Return (B, 2, 3): where each output point comes from, in torch's -1..1 (x, y) frame.

    Output = shift + scale * rotation * mirror * input in pixels, so
    input = mirror * rotation^T * (output - shift) / scale.
    """
    cos, sin = draw.angle_rad.cos() / draw.scale, draw.angle_rad.sin() / draw.scale
    mirror = 1 - 2 * draw.mirrored.float()
    down, right = 2 * draw.shift.unbind(1)[0], 2 * draw.shift.unbind(1)[1]
    xx, xy = mirror * cos, mirror * sin * height / width
    yx, yy = -sin * width / height, cos
    x_row = torch.stack([xx, xy, -xx * right - xy * down], dim=1)
    y_row = torch.stack([yx, yy, -yx * right - yy * down], dim=1)
    return torch.stack([x_row, y_row], dim=1)
