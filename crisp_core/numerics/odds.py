"""Odds of every class against the background: what grades and entropies are both made of."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import torch

from crisp_core.numerics.grades import log_odds, upcast

_LOG2_E = 1 / math.log(2)


@dataclass(frozen=True, slots=True)
class Odds:
    """Logits of some slices and what is computed of them once, for every later question.

    Attributes:
        logits: float32 or float64 (B, K, *space), background first.
        relative: (B, C, *space), z_c - z_0.
        ratios: (B, C, *space), exp of it: p_c / p_0.
        total: (B, *space), 1 + sum of the ratios: 1 / p_0.
        finite: Whether no ratio, nor their sum, left the range of the type; if one did, the
            logits alone are used.
    """

    logits: torch.Tensor
    relative: torch.Tensor
    ratios: torch.Tensor
    total: torch.Tensor
    finite: bool

    @classmethod
    def of(cls, logits: torch.Tensor) -> Odds:
        """Compare logits (B, K, *space) of any real type with those of the background."""
        wide = upcast(logits)
        relative = wide[:, 1:] - wide[:, :1]
        ratios, total = torch.empty_like(relative), torch.ones_like(wide[:, 0])
        for own, ratio in zip(relative.unbind(1), ratios.unbind(1), strict=True):
            # On a CPU exp takes more than twice as long as exp2.
            total += torch.mul(own, _LOG2_E, out=ratio).exp2_()
        return cls(wide, relative, ratios, total, bool(torch.isfinite(total.sum())))

    def log_odds(self, *, with_background: bool = False) -> torch.Tensor:
        """Return `grades.log_odds` of the logits, (B, C, *space) or, with background, (B, K, …).

        S_c = (z_c - z_0) - ln(1 + sum of the other ratios): one logarithm a class. The sum is at
        least 1, so no value is lost however certain the others are.

        Raises:
            ValueError: If a logit is not finite.
        """
        if with_background or not self.finite:
            dims = self.logits.ndim - 2
            return log_odds(self.logits, space_dims=dims, with_background=with_background)
        planes, scores = self.ratios.unbind(1), torch.empty_like(self.relative)
        before = accumulate(planes[:-1], operator.add, initial=1.0)
        after = [*accumulate(planes[:0:-1], operator.add)][::-1]
        for place, (low, high) in enumerate(zip(before, [*after, 0.0], strict=True)):
            others = torch.as_tensor(low + high, device=scores.device)
            torch.sub(self.relative[:, place], others.log_(), out=scores[:, place])
        return scores

    def shares_and_entropy(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the probabilities (B, K, *space) and their entropy (B, *space) in nats."""
        if not self.finite:
            logs = self.logits.log_softmax(dim=1)
            shares = logs.exp()
            return shares, -logs.mul_(shares).sum(dim=1)
        shares = torch.empty_like(self.logits)
        background, *others = shares.unbind(1)
        torch.reciprocal(self.total, out=background)
        entropy = self.total.log()  # ln(total) - sum of p_c (z_c - z_0)
        for share, ratio, relative in zip(
            others, self.ratios.unbind(1), self.relative.unbind(1), strict=True
        ):
            torch.mul(ratio, background, out=share)
            entropy.addcmul_(share, relative, value=-1)
        return shares, entropy


def blocks_of(logits: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Cut (B, …) into what is computed together, each with its first item's number.

    One item fits a processor's cache; an accelerator would rather have all at once.
    """
    size = 1 if logits.device.type == "cpu" else max(1, len(logits))
    for first in range(0, len(logits), size):
        yield first, logits[first : first + size]


def planes_of(*blocks: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Cut blocks (b, C, …) alike: on a CPU into planes, elsewhere not at all."""
    if blocks[0].device.type != "cpu":
        yield blocks
        return
    yield from zip(*(block.flatten(0, 1).unbind() for block in blocks), strict=True)
