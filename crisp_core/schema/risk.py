"""How sure an answer is of itself, the rule that judges it, and the flag that it gets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from crisp_core.schema.frozen import Frozen

Share = Annotated[float, Field(ge=0, le=1)]
Decision = Literal["accept", "review", "reject"]
Reason = Literal["uncertain", "disagreement", "changed", "entropy", "no-evidence"]
FAILURE_DICE = 0.7
"""An answer below this Dice has failed."""


class RiskEvidence(Frozen):
    """What CRISP knows about its own answer; nothing of it needs a reference."""

    uncertain_fraction: Share
    """Of the predicted foreground, the share outside its class's core; 1 where nothing is found."""
    core_support_agreement: Share
    """Voxels of the core per voxel of the support, mean over the classes; 1 where they have met."""
    recursion_change: Share | None = None
    """1 - Dice between the foreground of the first and the last recursion; absent with one."""
    entropy: Annotated[float, Field(ge=0)]
    """The guard's figure of the answer: entropy (nats) per predicted foreground pixel."""


class RiskRule(Frozen):
    """A score over the evidence and two thresholds, fitted on the sources' validation cases."""

    quantiles: dict[str, tuple[float, ...]]
    """Evidence -> its quantiles 0 %, 10 %, … 100 % in validation, turned so that more is worse."""
    review: float
    """Score from which a person looks at the answer."""
    reject: float
    """Score from which the answer is not used; not below `review`."""
    catch_rate: Annotated[float, Field(gt=0, le=1)]
    """Share of the failed validation cases that `review` was set to catch."""
    failure_dice: Share = FAILURE_DICE
    basis: Literal["failures", "quantiles"]
    """`quantiles`: too few validation cases failed, so the thresholds are places in the scores."""
    case_count: Annotated[int, Field(ge=1)]
    failure_count: Annotated[int, Field(ge=0)]
    caught: Share | None = None
    """Share of the failed validation cases that are flagged; absent where none failed."""
    flagged: Share
    """Share of all validation cases that are flagged."""


class RiskFlag(Frozen):
    """What to do with one answer, and why."""

    decision: Decision
    score: float | None = None
    """Absent without evidence."""
    reasons: tuple[Reason, ...] = ()
    """The evidence that speaks against the answer, the strongest first; empty if accepted."""
