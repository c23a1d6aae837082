"""MixStyle: features in the statistics of another sample's, drawn first and applied second."""

from __future__ import annotations

from dataclasses import dataclass

import torch

ALPHA = 0.1
_TINY = 1e-6


@dataclass(frozen=True, slots=True)
class MixDraw:
    """Whose statistics come in, and by how much; all or none of a batch takes part.

    Attributes:
        partner: int64 (B,), a sample of the batch; neutral the sample itself.
        share: float32 (B,), of the sample's own statistics; neutral 1.
    """

    partner: torch.Tensor
    share: torch.Tensor


def draw_mix(
    count: int, *, generator: torch.Generator, probability: float, alpha: float = ALPHA
) -> MixDraw:
    """Draw partners as a permutation and shares from Beta(alpha, alpha).

    Source:
        Zhou et al., "Domain Generalization with MixStyle", ICLR 2021, algorithm 1 and section 4.
    """
    chosen = bool(torch.rand(1, generator=generator) < probability)
    partner = torch.randperm(count, generator=generator)
    share = _beta(count, alpha, generator)
    if chosen:
        return MixDraw(partner, share)
    return MixDraw(torch.arange(count), torch.ones(count))


def mix_style(features: torch.Tensor, draw: MixDraw) -> torch.Tensor:
    """Replace each map's mean and spread by a blend with those of the partner's map.

    No gradient flows through means and spreads.

    Args:
        features: (B, channels, H, W).
        draw: One partner and share per sample.

    Raises:
        ValueError: If the draw is for another number of samples.
    """
    if len(features) != len(draw.share):
        message = f"{len(features)} samples but {len(draw.share)} partners"
        raise ValueError(message)
    partner = draw.partner.to(features.device)
    share = draw.share.to(features)[:, None, None, None]
    with torch.no_grad():
        middle = features.mean(dim=(2, 3), keepdim=True)
        spread = (features.var(dim=(2, 3), keepdim=True, unbiased=False) + _TINY).sqrt()
        gain = torch.lerp(spread[partner], spread, share) / spread
        offset = torch.lerp(middle[partner], middle, share) - middle * gain
    return features * gain + offset


def _beta(count: int, alpha: float, generator: torch.Generator) -> torch.Tensor:
    """Draw Beta(alpha, alpha) by rejection, in logarithms: for a small alpha few are rejected.

    Source:
        Joehnk, "Erzeugung von betaverteilten und gammaverteilten Zufallszahlen", Metrika 1964.
    """
    found: list[float] = []
    while len(found) < count:
        uniform = 1 - torch.rand(2, count, generator=generator, dtype=torch.float64)
        x, y = uniform.log() / alpha
        total = torch.logaddexp(x, y)
        found += (x - total).exp()[total <= 0].tolist()
    return torch.tensor(found[:count], dtype=torch.float32)
