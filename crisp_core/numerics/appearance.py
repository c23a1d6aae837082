"""Appearance augmentation: what another scanner could have made of the same anatomy.

Parameters are drawn first, one set per sample, and applied second; they can be logged, replayed
and tested. Images are (B, ch, H, W) with intensities around [-1, 1]; -1 is black. All channels
of a sample (neighbouring slices) get the same parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from crisp_core.numerics.samples import changed, rows_around, weighted_rows

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
        A new array of the same shape and dtype; the neutral draw changes nothing.

    Raises:
        ValueError: If the draw is for another number of samples.
    """
    if len(images) != len(draw.gamma):
        message = f"{len(images)} samples but {len(draw.gamma)} sets of parameters"
        raise ValueError(message)
    return changed(
        images,
        (_lit, _polynomials(draw.bias)),
        (_bent, draw.gamma, draw.gamma_side),
        (_stretched, draw.contrast, draw.brightness),
        (_blurred, draw.blur_sigma_voxels),
        (_noisy, draw.noise_sd, draw.noise_seed),
    )


def with_gamma(images: torch.Tensor, gamma: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
    """Bend the intensity curve and keep each sample's mean and standard deviation.

    u -> sign(u) |u|^gamma with u = (x + 1) / 2, or of the negative where `side` is -1.

    Source:
        Isensee et al., "nnU-Net", Nature Methods 2021, supplementary note 4 (gamma).
    """
    return changed(images, (_bent, gamma, side))


def with_contrast(
    images: torch.Tensor, contrast: torch.Tensor, brightness: torch.Tensor
) -> torch.Tensor:
    """Stretch around the sample's mean and add a constant."""
    return changed(images, (_stretched, contrast, brightness))


def with_bias_field(images: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Multiply u = (x + 1) / 2 by exp of a cubic polynomial over the image plane.

    Args:
        images: (B, ch, H, W).
        bias: (B, 9), coefficients of `BIAS_POWERS` (row power, column power) on [-1, 1].
    """
    return changed(images, (_lit, _polynomials(bias)))


def with_blur(images: torch.Tensor, sigma_voxels: torch.Tensor) -> torch.Tensor:
    """Blur each sample with its own Gaussian; sigma 0 leaves a sample as it is.

    Each kernel reaches three of its own sigmas; edges are repeated.
    """
    return changed(images, (_blurred, sigma_voxels))


def with_noise(images: torch.Tensor, sd: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """Add Gaussian noise from each sample's own seed, drawn on the CPU whatever the device."""
    return changed(images, (_noisy, sd, seeds))


def _polynomials(bias: torch.Tensor) -> torch.Tensor:
    """Return (B, 4, 4): the coefficients (B, 9) by row power and column power."""
    tables = bias.new_zeros(len(bias), BIAS_ORDER + 1, BIAS_ORDER + 1)
    tables[:, [i for i, _ in BIAS_POWERS], [j for _, j in BIAS_POWERS]] = bias
    return tables


@lru_cache(maxsize=16)
def _powers(length: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return (length, 4): powers 0 to 3 of even steps over [-1, 1]."""
    steps = torch.linspace(-1, 1, length, device=device, dtype=dtype)
    return steps[:, None] ** torch.arange(BIAS_ORDER + 1, device=device)


def _lit(image: torch.Tensor, polynomial: torch.Tensor) -> None:
    if not polynomial.any():
        return
    rows, columns = (_powers(side, image.dtype, image.device) for side in image.shape[1:])
    field = (rows @ (polynomial.to(image) / math.log(2)) @ columns.T).exp2_()
    image.add_(1).mul_(field).sub_(1)


def _bent(image: torch.Tensor, gamma: float, side: float) -> None:
    if gamma == 1:
        return
    u = (image * (side / 2)).add_(0.5)
    bent = u.abs().log2_().mul_(gamma).exp2_().copysign_(u)
    bent.sub_(bent.mean())
    middle = image.mean()
    gain = side * image.sub_(middle).norm() / bent.norm().clamp_min(_TINY)
    torch.mul(bent, gain, out=image).add_(middle)


def _stretched(image: torch.Tensor, contrast: float, brightness: float) -> None:
    if contrast == 1 and brightness == 0:
        return
    offset = image.mean() * (1 - contrast) + brightness
    image.mul_(contrast).add_(offset)


def _blurred(image: torch.Tensor, sigma_voxels: float) -> None:
    """Weigh rows, then sum shifted copies: for kernels this small a convolution costs more."""
    if sigma_voxels <= 0:
        return
    radius = math.ceil(3 * sigma_voxels)
    weights = [math.exp(-0.5 * (k / sigma_voxels) ** 2) for k in range(-radius, radius + 1)]
    kernel = [weight / sum(weights) for weight in weights]
    height, width = image.shape[1:]
    places = rows_around(height, radius, image.device).clamp(0, height - 1)
    rows = weighted_rows(image, places, image.new_tensor(kernel).expand(places.shape))
    left, right = (edge.expand(-1, -1, radius) for edge in (rows[..., :1], rows[..., -1:]))
    padded = torch.cat([left, rows, right], dim=2)
    torch.mul(padded.narrow(2, 0, width), kernel[0], out=image)
    for place, weight in enumerate(kernel[1:], start=1):
        image.add_(padded.narrow(2, place, width), alpha=weight)


def _noisy(image: torch.Tensor, sd: float, seed: int) -> None:
    if sd <= 0:
        return
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    image.add_(noise.to(image), alpha=sd)
