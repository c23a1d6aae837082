"""Style augmentation: other scanners' tone curves, sharpness, textures and frequency content.

Like `appearance`: one set of parameters per sample is drawn first and applied second. Images are
(B, ch, H, W) with intensities around [-1, 1]; all channels of a sample get the same parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

KNOTS = 128
"""Values of a tone curve, evenly spaced over [-1, 1]; straight lines between them."""
SHIFT_POINTS = 10
ZOOM_LEAST = 0.5
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
) -> StyleDraw:
    """Draw parameters for `count` samples; each operation takes part with `probability`.

    Args:
        count: Samples.
        generator: Source of every draw, on the CPU.
        probability: Of each operation but the texture.
        texture_probability: Of the texture.
    """
    chosen = torch.rand(count, 5, generator=generator) < torch.tensor(
        [probability] * 4 + [texture_probability]
    )
    shifted = _histogram_curve(count, generator)
    bent = _bezier_curve(count, generator)
    line = torch.linspace(-1, 1, KNOTS).expand(count, KNOTS)
    curve = torch.where(chosen[:, :1], shifted, line)
    curve = torch.where(chosen[:, 1:2], _through(bent, curve), curve)
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


def with_curve(images: torch.Tensor, curve: torch.Tensor) -> torch.Tensor:
    """Map intensities through each sample's tone curve; outside [-1, 1] they move with its ends.

    Args:
        images: (B, ch, H, W).
        curve: (B, K), values at K even steps from -1 to 1.
    """
    values = curve.to(images)
    last = values.shape[1] - 1
    flat = images.flatten(1)
    inside = flat.clamp(-1, 1)
    place = (inside + 1) * (last / 2)
    left = place.to(torch.int64).clamp_(max=last - 1)
    start = values.gather(1, left)
    rise = values.diff(dim=1).gather(1, left)
    mapped = start.addcmul_(rise, place - left).add_(flat).sub_(inside)
    return mapped.view_as(images)


def with_low_resolution(images: torch.Tensor, zoom: torch.Tensor) -> torch.Tensor:
    """Draw each sample small, nearest pixel, and large again, bicubic; zoom 1 leaves it alone.

    Source:
        Isensee et al., "nnU-Net", Nature Methods 2021, supplementary note 4 (simulation of low
        resolution).
    """
    result = images.clone()
    for index in torch.nonzero(zoom < 1).flatten().tolist():
        height, width = images.shape[-2:]
        size = (
            max(1, round(height * float(zoom[index]))),
            max(1, round(width * float(zoom[index]))),
        )
        small = functional.interpolate(images[index : index + 1], size=size, mode="nearest-exact")
        result[index] = functional.interpolate(small, size=(height, width), mode="bicubic")[0]
    return result


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
    chosen = torch.nonzero(mix > 0).flatten()
    if not len(chosen):
        return images
    height, width = images.shape[-2:]
    reach = int(LOW_FREQUENCIES * min(height, width))
    spectrum = torch.fft.rfft2(images)
    rows = torch.cat([torch.arange(reach + 1), torch.arange(height - reach, height)])
    low = spectrum[:, :, rows, : reach + 1]
    amplitude = low.abs()
    share = mix.to(images)[chosen].view(-1, 1, 1, 1)
    mixed = torch.lerp(amplitude[chosen], amplitude[partner.to(chosen.device)[chosen]], share)
    blended = torch.polar(mixed, low[chosen].angle())
    spectrum[chosen[:, None], :, rows, : reach + 1] = blended.transpose(1, 2)
    result = images.clone()
    result[chosen] = torch.fft.irfft2(spectrum[chosen], s=(height, width))
    return result


def with_texture(images: torch.Tensor, share: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """Blend each sample with its picture through a small random network of its own.

    The answer is scaled back to the image's Frobenius norm. Share 0 leaves a sample alone.

    Source:
        Ouyang et al., "Causality-Inspired Single-Source Domain Generalization for Medical Image
        Segmentation", IEEE TMI 2022, section III-B (global intensity non-linear augmentation).
    """
    result = images.clone()
    for index in torch.nonzero(share > 0).flatten().tolist():
        image = images[index].unsqueeze(1)  # channels are neighbouring slices: one network for all
        answer = _random_network(image, torch.Generator().manual_seed(int(seeds[index])))
        answer = answer * (image.norm() / answer.norm().clamp_min(_TINY))
        result[index] = torch.lerp(image, answer, float(share[index])).squeeze(1)
    return result


def _random_network(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return (ch, 1, H, W) through convolutions of random size 1 or 3 and random weights."""
    widths = [1, *[TEXTURE_CHANNELS] * (TEXTURE_LAYERS - 1), 1]
    answer = image
    for layer in range(TEXTURE_LAYERS):
        side = 1 + 2 * int(torch.randint(2, (1,), generator=generator))
        shape = (widths[layer + 1], widths[layer], side, side)
        weights = torch.randn(shape, generator=generator).to(image)
        shift = torch.randn(widths[layer + 1], generator=generator).to(image)
        answer = functional.conv2d(answer, weights, shift, padding=side // 2)
        if layer < TEXTURE_LAYERS - 1:
            answer = functional.leaky_relu(answer, _LEAK)
    return answer


def _histogram_curve(count: int, generator: torch.Generator) -> torch.Tensor:
    """Return (count, KNOTS): control points moved at random between their neighbours, in order.

    Source:
        MONAI, RandHistogramShift.
    """
    points = torch.linspace(-1, 1, SHIFT_POINTS).repeat(count, 1)
    draws = torch.rand(count, SHIFT_POINTS, generator=generator)
    for place in range(1, SHIFT_POINTS - 1):
        low, high = points[:, place - 1], points[:, place + 1]
        points[:, place] = low + (high - low) * draws[:, place]
    return _through(points, torch.linspace(-1, 1, KNOTS).repeat(count, 1))


def _bezier_curve(count: int, generator: torch.Generator) -> torch.Tensor:
    """Return (count, KNOTS): a rising cubic Bezier curve, mirrored (dark for bright) half the time.

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
    mirrored = torch.rand(count, 1, generator=generator) < 1 / 2
    return torch.where(mirrored, -curve, curve)


def _through(curve: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Map (B, N) values in [-1, 1] through (B, K) curves."""
    return with_curve(values[:, None, None], curve)[:, 0, 0]
