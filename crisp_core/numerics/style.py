"""Style augmentation: other scanners' tone curves, sharpness, textures and frequency content.

Like `appearance`: one set of parameters per sample is drawn first and applied second. Images are
(B, ch, H, W) with intensities around [-1, 1]; all channels of a sample get the same parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from crisp_core.arrays import FloatArray
from crisp_core.numerics.tone import KNOTS, bezier_curve, histogram_curve, joined, with_curve

ZOOM_LEAST = 0.5
HALF = 0.5
LOW_FREQUENCIES = 0.1
"""Half the side of the square of frequencies that is mixed, as a share of the image's side."""
TEXTURE_CHANNELS = 2
TEXTURE_LAYERS = 4
_LEAK = 0.2
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class StyleDraw:
    """Parameters of one change of style per sample; each neutral where it was not drawn.

    Attributes:
        curve: float32 (B, KNOTS), the tone curve's values, neutral a straight line from -1 to 1.
        zoom: float32 (B,), size before the image is drawn large again, neutral 1.
        partner: int64 (B,), the sample whose low frequencies come in, neutral the sample itself.
        mix: float32 (B,), share of the partner's amplitude, neutral 0.
        texture: float32 (B,), share of the random texture network's answer, neutral 0.
        texture_seed: int64 (B,).
    """

    curve: torch.Tensor
    zoom: torch.Tensor
    partner: torch.Tensor
    mix: torch.Tensor
    texture: torch.Tensor
    texture_seed: torch.Tensor


def draw_style(
    count: int,
    *,
    generator: torch.Generator,
    probability: float = 0.5,
    texture_probability: float = 0.0,
    inversion_probability: float = 0.5,
) -> StyleDraw:
    """Draw parameters for `count` samples; each operation takes part with `probability`.

    Args:
        count: Samples.
        generator: Source of every draw, on the CPU.
        probability: Of each operation but the texture.
        texture_probability: Of the texture.
        inversion_probability: That a Bezier curve turns dark into bright.
    """
    chosen = torch.rand(count, 5, generator=generator) < torch.tensor(
        [probability] * 4 + [texture_probability]
    )
    shifted = histogram_curve(count, generator)
    bent = bezier_curve(count, generator, inversion_probability)
    line = torch.linspace(-1, 1, KNOTS).expand(count, KNOTS)
    curve = torch.where(chosen[:, :1], shifted, line)
    curve = torch.where(chosen[:, 1:2], joined(bent, curve), curve)
    shares = torch.rand(count, 3, generator=generator)
    return StyleDraw(
        curve=curve,
        zoom=torch.where(chosen[:, 2], ZOOM_LEAST + (1 - ZOOM_LEAST) * shares[:, 0], 1.0),
        partner=torch.where(
            chosen[:, 3], torch.randint(count, (count,), generator=generator), torch.arange(count)
        ),
        mix=shares[:, 1] * chosen[:, 3],
        texture=shares[:, 2] * chosen[:, 4],
        texture_seed=torch.randint(2**62, (count,), generator=generator),
    )


def apply_style(images: torch.Tensor, draw: StyleDraw) -> torch.Tensor:
    """Apply the drawn parameters: frequencies of a partner, texture, tone curve, low resolution.

    Args:
        images: float (B, ch, H, W) around [-1, 1]. Not modified.
        draw: One set of parameters per sample.

    Returns:
        A new array of the same shape and dtype; the neutral draw changes no more than rounding.

    Raises:
        ValueError: If the draw is for another number of samples.
    """
    if len(images) != len(draw.zoom):
        message = f"{len(images)} samples but {len(draw.zoom)} sets of parameters"
        raise ValueError(message)
    changed = with_frequencies(images, draw.partner, draw.mix)
    changed = with_texture(changed, draw.texture, draw.texture_seed)
    changed = with_curve(changed, draw.curve)
    return with_low_resolution(changed, draw.zoom)


def with_low_resolution(images: torch.Tensor, zoom: torch.Tensor) -> torch.Tensor:
    """Draw each sample small, nearest pixel, and large again, bicubic; zoom 1 leaves it alone.

    Source:
        Isensee et al., "nnU-Net", Nature Methods 2021, supplementary note 4 (simulation of low
        resolution).
    """
    result = images.clone()
    for index in torch.nonzero(zoom < 1).flatten().tolist():
        rows, columns = (_taps(side, float(zoom[index]), images) for side in images.shape[-2:])
        turned = _coarse_rows(images[index], *rows).transpose(1, 2).contiguous()
        result[index] = _coarse_rows(turned, *columns).transpose(1, 2)
    return result


def _coarse_rows(planes: torch.Tensor, places: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Sum four rows of (ch, H, W) for every row."""
    total = planes.index_select(1, places[0]).mul_(weights[0][:, None])
    for place, weight in zip(places[1:], weights[1:], strict=True):
        total.addcmul_(planes.index_select(1, place), weight[:, None])
    return total


def _taps(length: int, zoom: float, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (4, length): the rows that are kept around each row, and what each counts."""
    count = max(1, round(length * zoom))
    kept = ((np.arange(count) + HALF) * (length / count)).astype(np.int64)  # under its centre
    place = (np.arange(length) + HALF) * (count / length) - HALF
    first = np.floor(place)
    near = first.astype(np.int64) + np.arange(-1, 3)[:, None]
    rows = torch.from_numpy(kept[near.clip(0, count - 1)])
    return rows.to(like.device), torch.from_numpy(_cubic(place - first)).to(like)


def _cubic(t: FloatArray, a: float = -0.75) -> FloatArray:
    """Return (4, N): weights of the rows at -1, 0, 1, 2 for a place `t` in [0, 1).

    Source:
        Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE TASSP 1981,
        equation 8; a = -0.75 as in torch.
    """
    near = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, 1 - t)]
    far = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (1 + t, 2 - t)]
    return np.stack([far[0], near[0], near[1], far[1]])


def with_frequencies(
    images: torch.Tensor, partner: torch.Tensor, mix: torch.Tensor
) -> torch.Tensor:
    """Blend the amplitude of each sample's low frequencies with its partner's; phases stay.

    Args:
        images: (B, ch, H, W).
        partner: int64 (B,), a sample of the batch.
        mix: (B,), 0 leaves a sample alone and 1 takes the partner's amplitude whole.

    Source:
        Yang and Soatto, "FDA: Fourier Domain Adaptation for Semantic Segmentation", CVPR 2020,
        equation 3, with the blend of Liu et al., "FedDG", CVPR 2021, equation 2.
    """
    chosen = torch.nonzero(mix.to(images.device) > 0).flatten()
    if not len(chosen):
        return images
    height, width = images.shape[-2:]
    reach = int(LOW_FREQUENCIES * min(height, width))
    rows = torch.complex(*_waves(height, range(-reach, reach + 1), images))
    columns = torch.cat(_waves(width, range(reach + 1), images))
    low = rows @ torch.complex(*(images @ columns.T).chunk(2, dim=-1))
    amplitude = low.abs()
    share = mix.to(images)[chosen].view(-1, 1, 1, 1)
    own, other = amplitude[chosen], amplitude[partner.to(images.device)[chosen]]
    gain = (other - own).mul_(share).div_(own.clamp_min(_TINY))
    twice = images.new_full((reach + 1,), 2.0)
    twice[0] = 1.0  # the other half of a real image's spectrum is this one's mirror image
    back = rows.conj().T @ (low[chosen] * (gain * twice / (height * width)))
    change = torch.cat([back.real, back.imag], dim=-1) @ columns
    return images.index_add(0, chosen, change)


def _waves(
    length: int, frequencies: range, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return real and imaginary part (frequencies, length) of these rows of the Fourier matrix."""
    cycles = torch.tensor([*frequencies])[:, None] * torch.arange(length) % length
    turn = torch.arange(length, dtype=torch.float64) * (-2 * math.pi / length)
    return turn.cos()[cycles].to(like), turn.sin()[cycles].to(like)


def with_texture(images: torch.Tensor, share: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """Blend each sample with its picture through a small random network of its own.

    The answer is scaled back to the image's Frobenius norm. Share 0 leaves a sample alone.

    Source:
        Ouyang et al., "Causality-Inspired Single-Source Domain Generalization for Medical Image
        Segmentation", IEEE TMI 2022, section III-B (global intensity non-linear augmentation).
    """
    result = images.clone()
    for index in torch.nonzero(share > 0).flatten().tolist():
        image = images[index]
        answer = _random_network(image, torch.Generator().manual_seed(int(seeds[index])))
        answer *= image.norm() / answer.norm().clamp_min(_TINY)
        result[index] = torch.lerp(image, answer, float(share[index]))
    return result


def _random_network(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return (ch, H, W) through convolutions of random size 1 or 3 and random weights.

    The channels are neighbouring slices: one network for all of them.
    """
    widths = [1, *[TEXTURE_CHANNELS] * (TEXTURE_LAYERS - 1), 1]
    maps = [image]
    for layer in range(TEXTURE_LAYERS):
        side = 1 + 2 * int(torch.randint(2, (1,), generator=generator))
        shape = (widths[layer + 1], widths[layer], side, side)
        weights = torch.randn(shape, generator=generator).tolist()
        shifts = torch.randn(widths[layer + 1], generator=generator).tolist()
        padded = [functional.pad(one, (side // 2,) * 4) for one in maps]
        maps = [_convolved(padded, w, shift) for w, shift in zip(weights, shifts, strict=True)]
        if layer < TEXTURE_LAYERS - 1:
            maps = [functional.leaky_relu_(one, _LEAK) for one in maps]
    return maps[0]


def _convolved(
    padded: list[torch.Tensor], weights: list[list[list[float]]], shift: float
) -> torch.Tensor:
    """Sum shifted copies of maps (ch, h, w): for one or two maps faster than a convolution."""
    side = len(weights[0])
    height, width = (length - side + 1 for length in padded[0].shape[-2:])
    total = padded[0].new_full((len(padded[0]), height, width), shift)
    for one, kernel in zip(padded, weights, strict=True):
        for row, line in enumerate(kernel):
            for column, weight in enumerate(line):
                part = one[:, row : row + height, column : column + width]
                total.add_(part, alpha=weight)
    return total
