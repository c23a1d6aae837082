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

BIAS_ORDER = 3
BIAS_POWERS = tuple(
    (i, j) for i in range(BIAS_ORDER + 1) for j in range(BIAS_ORDER + 1) if 0 < i + j <= BIAS_ORDER
)
LOG_GAMMA = math.log(1.5)
GAMMA_INVERTED = 0.25
"""Share of the drawn gammas that bend the negative, as one in four of nnU-Net's."""
CONTRAST = 0.35
BRIGHTNESS = 0.3
NOISE_SD = 0.1
_TINY = 1e-12
BLUR_SIGMA_VOXELS = 1.5
BIAS_COEFFICIENT = 0.3


@dataclass(frozen=True, slots=True)
class AppearanceDraw:
    """Parameters of one change of appearance per sample; each neutral where it was not drawn.

    Attributes:
        gamma: float32 (B,), neutral 1.
        gamma_side: float32 (B,), -1 where the negative is bent, neutral 1.
        contrast: float32 (B,), neutral 1.
        brightness: float32 (B,), neutral 0.
        bias: float32 (B, 9), coefficients of a cubic polynomial, neutral 0.
        blur_sigma_voxels: float32 (B,), neutral 0.
        noise_sd: float32 (B,), neutral 0.
        noise_seed: int64 (B,).
    """

    gamma: torch.Tensor
    gamma_side: torch.Tensor
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
    inverted = torch.rand(count, generator=generator) < GAMMA_INVERTED
    return AppearanceDraw(
        gamma=(signed[:, 0] * LOG_GAMMA).exp(),
        gamma_side=1.0 - 2.0 * (inverted & (chosen[:, 0] > 0)),
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
    changed = with_gamma(changed, draw.gamma, draw.gamma_side)
    changed = with_contrast(changed, draw.contrast, draw.brightness)
    changed = with_blur(changed, draw.blur_sigma_voxels)
    return with_noise(changed, draw.noise_sd, draw.noise_seed)


def with_gamma(images: torch.Tensor, gamma: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
    """Bend the intensity curve and keep each sample's mean and standard deviation.

    u -> sign(u) |u|^gamma with u = (x + 1) / 2, or of the negative where `side` is -1.

    Source:
        Isensee et al., "nnU-Net", Nature Methods 2021, supplementary note 4 (gamma).
    """
    chosen = torch.nonzero(gamma.to(images.device) != 1).flatten()
    if not len(chosen):
        return images
    signs = _per_sample(side.to(images)[chosen], images)
    before = images.index_select(0, chosen)
    u = (before * signs).add_(1).mul_(0.5)
    bent = u.abs().log_().mul_(_per_sample(gamma.to(images)[chosen], images)).exp_().copysign_(u)
    middle, spread = _mean_and_spread(before)
    own_middle, own_spread = _mean_and_spread(bent)
    gain = signs * spread / own_spread.clamp_min(_TINY)
    return images.index_copy(0, chosen, bent.mul_(gain).add_(middle - own_middle * gain))


def _mean_and_spread(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (B, 1, 1, 1) each; two plain sums, as torch's own std_mean is ten times as slow."""
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return middle, (images - middle).square_().mean(dim=(1, 2, 3), keepdim=True).sqrt_()


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
    table = images.new_zeros(len(images), BIAS_ORDER + 1, BIAS_ORDER + 1)
    table[:, [i for i, _ in BIAS_POWERS], [j for _, j in BIAS_POWERS]] = bias.to(images)
    rows, columns = (
        torch.linspace(-1, 1, side, device=images.device, dtype=images.dtype)[:, None]
        ** torch.arange(BIAS_ORDER + 1, device=images.device)
        for side in images.shape[-2:]
    )
    field = (rows @ table @ columns.T).exp_().unsqueeze(1)
    return (images + 1).mul_(field).sub_(1)


def with_blur(images: torch.Tensor, sigma_voxels: torch.Tensor) -> torch.Tensor:
    """Blur each sample with its own Gaussian; sigma 0 leaves a sample as it is.

    Each kernel reaches three of its own sigmas; edges are repeated. Sums of shifted copies: a
    sample fits a processor's cache, and kernels this small cost a convolution more.
    """
    result = images.clone()
    for index in torch.nonzero(sigma_voxels > 0).flatten().tolist():
        sigma = float(sigma_voxels[index])
        radius = math.ceil(3 * sigma)
        weights = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(-radius, radius + 1)]
        kernel = [weight / sum(weights) for weight in weights]
        padded = functional.pad(images[index : index + 1], (radius,) * 4, mode="replicate")[0]
        result[index] = _weighted_shifts(_weighted_shifts(padded, kernel, dim=1), kernel, dim=2)
    return result


def _weighted_shifts(planes: torch.Tensor, kernel: list[float], dim: int) -> torch.Tensor:
    """Sum shifted copies along one axis, which becomes shorter by the kernel's reach."""
    length = planes.shape[dim] - len(kernel) + 1
    total = planes.narrow(dim, 0, length) * kernel[0]
    for place, weight in enumerate(kernel[1:], start=1):
        total.add_(planes.narrow(dim, place, length), alpha=weight)
    return total


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
