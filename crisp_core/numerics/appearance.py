"""Appearance augmentation: what another scanner could have made of the same anatomy.

Parameters are drawn first, one set per sample, and applied second; they can be logged, replayed
and tested. Images are (B, ch, H, W) with intensities around [-1, 1]; -1 is black. All channels
of a sample (neighbouring slices) get the same parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

BIAS_POWERS = tuple((i, j) for i in range(4) for j in range(4) if 0 < i + j <= 3)  # noqa: PLR2004 - cubic polynomial
LOG_GAMMA = math.log(1.5)
CONTRAST = 0.35
BRIGHTNESS = 0.3
NOISE_SD = 0.1
BLUR_SIGMA_VOXELS = 1.5
BIAS_COEFFICIENT = 0.3


@dataclass(frozen=True, slots=True)
class AppearanceDraw:
    """Parameters of one change of appearance per sample; each neutral where it was not drawn.

    Attributes:
        gamma: float32 (B,), neutral 1.
        contrast: float32 (B,), neutral 1.
        brightness: float32 (B,), neutral 0.
        bias: float32 (B, 9), coefficients of a cubic polynomial, neutral 0.
        blur_sigma_voxels: float32 (B,), neutral 0.
        noise_sd: float32 (B,), neutral 0.
        noise_seed: int64 (B,).
    """

    gamma: torch.Tensor
    contrast: torch.Tensor
    brightness: torch.Tensor
    bias: torch.Tensor
    blur_sigma_voxels: torch.Tensor
    noise_sd: torch.Tensor
    noise_seed: torch.Tensor


def draw_appearance(
    count: int, *, generator: torch.Generator, probability: float = 0.5
) -> AppearanceDraw:
    """Draw parameters for `count` samples; each operation takes part with `probability`."""
    chosen = (torch.rand(count, 6, generator=generator) < probability).float()
    signed = (2 * torch.rand(count, 5, generator=generator) - 1) * chosen[:, :5]
    bias = 2 * torch.rand(count, len(BIAS_POWERS), generator=generator) - 1
    return AppearanceDraw(
        gamma=(signed[:, 0] * LOG_GAMMA).exp(),
        contrast=1 + signed[:, 1] * CONTRAST,
        brightness=signed[:, 2] * BRIGHTNESS,
        bias=bias * BIAS_COEFFICIENT * chosen[:, 5:],
        blur_sigma_voxels=signed[:, 3].abs() * BLUR_SIGMA_VOXELS,
        noise_sd=signed[:, 4].abs() * NOISE_SD,
        noise_seed=torch.randint(2**62, (count,), generator=generator),
    )


def apply_appearance(images: torch.Tensor, draw: AppearanceDraw) -> torch.Tensor:
    """Apply the drawn parameters: bias field, gamma, contrast, brightness, blur, noise.

    The order is that of an image's making: the coil, the display curve, the reconstruction's
    point spread, the noise. The same draw gives the same noise on every device.

    Args:
        images: float (B, ch, H, W) around [-1, 1]. Not modified.
        draw: One set of parameters per sample.

    Returns:
        A new array of the same shape and dtype; the neutral draw changes no more than rounding.

    Raises:
        ValueError: If the draw is for another number of samples.
    """
    if len(images) != len(draw.gamma):
        message = f"{len(images)} samples but {len(draw.gamma)} sets of parameters"
        raise ValueError(message)
    changed = with_bias_field(images, draw.bias)
    changed = with_gamma(changed, draw.gamma)
    changed = with_contrast(changed, draw.contrast, draw.brightness)
    changed = with_blur(changed, draw.blur_sigma_voxels)
    return with_noise(changed, draw.noise_sd, draw.noise_seed)


def with_gamma(images: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """Bend the intensity curve: u -> sign(u) |u|^gamma with u = (x + 1) / 2."""
    u = (images + 1) / 2
    return 2 * u.sign() * u.abs().pow(_per_sample(gamma, images)) - 1


def with_contrast(
    images: torch.Tensor, contrast: torch.Tensor, brightness: torch.Tensor
) -> torch.Tensor:
    """Stretch around the sample's mean and add a constant."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    gain, offset = _per_sample(contrast, images), _per_sample(brightness, images)
    return images * gain + (mean * (1 - gain) + offset)


def with_bias_field(images: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Multiply u = (x + 1) / 2 by exp of a cubic polynomial over the image plane.

    Args:
        images: (B, ch, H, W).
        bias: (B, 9), coefficients of `BIAS_POWERS` (row power, column power) on [-1, 1].
    """
    height, width = images.shape[-2:]
    rows = torch.linspace(-1, 1, height, device=images.device, dtype=images.dtype)
    columns = torch.linspace(-1, 1, width, device=images.device, dtype=images.dtype)
    terms = torch.stack([rows[:, None] ** i * columns**j for i, j in BIAS_POWERS])
    field = (bias.to(images) @ terms.flatten(1)).view(-1, 1, height, width).exp()
    return (images + 1) * field - 1


def with_blur(images: torch.Tensor, sigma_voxels: torch.Tensor) -> torch.Tensor:
    """Blur each sample with its own Gaussian; sigma 0 leaves a sample as it is.

    Each kernel reaches three of its own sigmas, whoever else is in the batch; edges are repeated.
    """
    chosen = torch.nonzero(sigma_voxels > 0).flatten().tolist()
    if not chosen:
        return images
    sigma = sigma_voxels[chosen].to(images)
    reach = (3 * sigma[:, None]).ceil()
    radius = int(reach.max())
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = (-0.5 * (offsets / sigma[:, None]).square()).exp() * (offsets.abs() <= reach)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(images.shape[1], dim=0)
    planes = images[chosen].flatten(0, 1).unsqueeze(0)
    padded = functional.pad(planes, (radius,) * 4, mode="replicate")
    tall, wide = kernel[:, None, :, None], kernel[:, None, None, :]
    blurred = functional.conv2d(
        functional.conv2d(padded, tall, groups=len(kernel)), wide, groups=len(kernel)
    )
    result = images.clone()
    result[chosen] = blurred.view_as(images[chosen])
    return result


def with_noise(images: torch.Tensor, sd: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """Add Gaussian noise from each sample's own seed, drawn on the CPU whatever the device."""
    result = images.clone()
    for index in torch.nonzero(sd > 0).flatten().tolist():
        generator = torch.Generator().manual_seed(int(seeds[index]))
        noise = torch.randn(images.shape[1:], generator=generator)
        result[index] += float(sd[index]) * noise.to(images)
    return result


def _per_sample(values: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return values.to(images).view(-1, 1, 1, 1)
