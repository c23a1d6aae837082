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

from crisp_core.numerics.samples import change, changed, convolved, weighted_rows
from crisp_core.numerics.tone import KNOTS, bezier_curve, histogram_curve, joined, mapped

ZOOM_LEAST = 0.5
HALF = 0.5
LOW_FREQUENCIES = 0.1
"""Half the side of the square of frequencies that is mixed, as a share of the image's side."""
TEXTURE_CHANNELS = 2
TEXTURE_LAYERS = 4
_A = -0.75
CUBIC = np.array(
    [[0, 1, 0, 0], [_A, 0, -_A, 0], [-2 * _A, -_A - 3, 2 * _A + 3, _A], [_A, _A + 2, -_A - 2, -_A]]
)
"""Weights of the rows at -1, 0, 1, 2 for a place t in [0, 1): (1, t, t^2, t^3) times this.

Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE TASSP 1981, equation 8;
a = -0.75 as in torch.
"""
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
        A new array of the same shape and dtype; the neutral draw changes nothing.

    Raises:
        ValueError: If the draw is for another number of samples.
    """
    result = images.clone(memory_format=torch.contiguous_format)
    restyle(result, draw)
    return result


def restyle(images: torch.Tensor, draw: StyleDraw) -> None:
    """Do what `apply_style` does, in place, to contiguous images."""
    if len(images) != len(draw.zoom):
        message = f"{len(images)} samples but {len(draw.zoom)} sets of parameters"
        raise ValueError(message)
    _mix_frequencies(images, draw.partner, draw.mix)
    change(
        images,
        (_textured, draw.texture, draw.texture_seed),
        (mapped, draw.curve),
        (_coarsened, draw.zoom),
    )


def with_low_resolution(images: torch.Tensor, zoom: torch.Tensor) -> torch.Tensor:
    """Draw each sample small, nearest pixel, and large again, bicubic; zoom 1 leaves it alone.

    Source:
        Isensee et al., "nnU-Net", Nature Methods 2021, supplementary note 4 (simulation of low
        resolution).
    """
    return changed(images, (_coarsened, zoom))


def _coarsened(image: torch.Tensor, zoom: float) -> None:
    if zoom >= 1:
        return
    height, width = image.shape[1:]
    taps = _taps(height, zoom, image)
    turned = weighted_rows(image, *taps).transpose(1, 2)
    columns = weighted_rows(turned, *(taps if width == height else _taps(width, zoom, image)))
    image.copy_(columns.transpose(1, 2))


def _taps(length: int, zoom: float, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (length, 4): the rows that are kept around each row, and what each counts."""
    count = max(1, round(length * zoom))
    kept = ((np.arange(count) + HALF) * (length / count)).astype(np.int64)  # under its centre
    place = (np.arange(length) + HALF) * (count / length) - HALF
    first = np.floor(place)
    near = first.astype(np.int64)[:, None] + np.arange(-1, 3)
    t = place - first
    weights = np.stack([np.ones(length), t, t * t, t * t * t], axis=1) @ CUBIC
    rows = torch.from_numpy(kept[near.clip(0, count - 1)])
    return rows.to(like.device), torch.from_numpy(weights).to(like)


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
    result = images.clone(memory_format=torch.contiguous_format)
    _mix_frequencies(result, partner, mix)
    return result


def _mix_frequencies(images: torch.Tensor, partner: torch.Tensor, mix: torch.Tensor) -> None:
    shares = {
        index: (other, share)
        for index, (other, share) in enumerate(zip(partner.tolist(), mix.tolist(), strict=True))
        if share > 0 and other != index
    }
    if not shares:
        return
    waves = _Waves.of(images)
    needed = {*shares, *(other for other, _ in shares.values())}
    low = {index: waves.low(images[index]) for index in needed}
    for index, (other, share) in shares.items():
        own = low[index].abs()
        gain = (low[other].abs() - own).mul_(share).div_(own.clamp_min(_TINY))
        waves.add(images[index], low[index] * gain)


@dataclass(frozen=True, slots=True)
class _Waves:
    """The rows of the Fourier matrix that low frequencies take.

    Attributes:
        rows: complex (2 R + 1, H), frequencies -R..R.
        columns: real (2 R + 2, W), frequencies 0..R, real part and imaginary part in turn.
        back: complex (H, 2 R + 1), the way back.
        twice: complex (R + 1,); the other half of a real image's spectrum is this one's mirror
            image, so all columns but the first count twice.
    """

    rows: torch.Tensor
    columns: torch.Tensor
    back: torch.Tensor
    twice: torch.Tensor

    @classmethod
    def of(cls, images: torch.Tensor) -> _Waves:
        height, width = images.shape[-2:]
        reach = int(LOW_FREQUENCIES * min(height, width))
        rows = _fourier(height, range(-reach, reach + 1))
        columns = _fourier(width, range(reach + 1))
        twice = torch.full((reach + 1,), 2.0 / (height * width), dtype=torch.complex128)
        twice[0] /= 2
        kind, place = images.dtype.to_complex(), images.device
        return cls(
            rows=rows.to(place, kind),
            columns=torch.view_as_real(columns).transpose(1, 2).flatten(0, 1).to(images),
            back=rows.T.conj().resolve_conj().to(place, kind),
            twice=twice.to(place, kind),
        )

    def low(self, image: torch.Tensor) -> torch.Tensor:
        """Return the low frequencies, complex (ch, 2 R + 1, R + 1), of an image (ch, H, W)."""
        parts = image @ self.columns.T
        return self.rows @ torch.view_as_complex(parts.view(*parts.shape[:-1], -1, 2))

    def add(self, image: torch.Tensor, low: torch.Tensor) -> None:
        """Add the picture of low frequencies to an image (ch, H, W), in place."""
        parts = torch.view_as_real(self.back @ (low * self.twice)).flatten(-2).flatten(0, 1)
        image.view(len(parts), -1).addmm_(parts, self.columns)


def _fourier(length: int, frequencies: range) -> torch.Tensor:
    """Return complex128 (frequencies, length): these rows of the Fourier matrix."""
    cycles = torch.tensor([*frequencies])[:, None] * torch.arange(length) % length
    turn = torch.arange(length, dtype=torch.float64) * (-2 * math.pi / length)
    return torch.polar(torch.ones_like(turn), turn)[cycles]


def with_texture(images: torch.Tensor, share: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """Blend each sample with its picture through a small random network of its own.

    The answer is scaled back to the image's Frobenius norm. Share 0 leaves a sample alone.

    Source:
        Ouyang et al., "Causality-Inspired Single-Source Domain Generalization for Medical Image
        Segmentation", IEEE TMI 2022, section III-B (global intensity non-linear augmentation).
    """
    return changed(images, (_textured, share, seeds))


def _textured(image: torch.Tensor, share: float, seed: int) -> None:
    if share <= 0:
        return
    answer = _random_network(image, torch.Generator().manual_seed(seed))
    answer *= image.norm() / answer.norm().clamp_min(_TINY)
    image.lerp_(answer, share)


def _random_network(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return (ch, H, W) through convolutions of random size 1 or 3 and random weights.

    The channels are neighbouring slices: one network for all of them.
    """
    widths = [1, *[TEXTURE_CHANNELS] * (TEXTURE_LAYERS - 1), 1]
    maps = image.unsqueeze(1)
    for layer in range(TEXTURE_LAYERS):
        side = 1 + 2 * int(torch.randint(2, (1,), generator=generator))
        shape = (widths[layer + 1], widths[layer], side, side)
        weights = torch.randn(shape, generator=generator)
        shifts = torch.randn(widths[layer + 1], generator=generator)
        maps = convolved(maps, weights.to(image)).add_(shifts.to(image).view(-1, 1, 1))
        if layer < TEXTURE_LAYERS - 1:
            maps = functional.leaky_relu_(maps, _LEAK)
    return maps.squeeze(1)
