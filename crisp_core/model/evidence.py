"""What a refined case says about its own answer: the input of the risk flag."""

from __future__ import annotations

import torch

from crisp_core.model.refine import Refinement
from crisp_core.schema.risk import RiskEvidence


def evidence_of(refined: Refinement) -> RiskEvidence:
    """Gather the evidence of one case, on the study's grid and without a reference."""
    answer, passes = refined.answer, refined.passes
    return RiskEvidence(
        uncertain_fraction=_outside_core(answer.labels, answer.core),
        core_support_agreement=_agreement(answer.core, answer.support),
        recursion_change=_change(passes[0].labels, passes[-1].labels) if len(passes) > 1 else None,
        entropy=answer.entropy,
    )


def _outside_core(labels: torch.Tensor, core: torch.Tensor) -> float:
    """Share of the predicted foreground (D, H, W) outside its own class's core (D, C, H, W)."""
    found = labels > 0
    count = int(found.count_nonzero())
    if count == 0:
        return 1.0
    own = core.gather(1, (labels - 1).clamp_min(0).unsqueeze(1)).squeeze(1)
    return int((found & ~own).count_nonzero()) / count


def _agreement(core: torch.Tensor, support: torch.Tensor) -> float:
    """Mean over the classes of |core| / |support|; a class without support has neither: 1."""
    sizes = [mask.sum(dim=(0, 2, 3), dtype=torch.float64) for mask in (core, support)]
    ratio = torch.where(sizes[1] > 0, sizes[0] / sizes[1].clamp_min(1), 1.0)
    return float(ratio.mean())


def _change(first: torch.Tensor, last: torch.Tensor) -> float:
    """1 - Dice between two foregrounds; two empty ones are the same."""
    one, other = first > 0, last > 0
    size = int(one.count_nonzero()) + int(other.count_nonzero())
    return 1 - 2 * int((one & other).count_nonzero()) / size if size else 0.0
