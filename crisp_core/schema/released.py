"""A model as it leaves its federation: what a hospital must know to use it, and to doubt it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from crisp_core.schema.drift import DriftReference
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import Split
from crisp_core.schema.risk import RiskRule
from crisp_core.schema.study import Study

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SiteScore(Frozen):
    """How the model did at one site, as the run's report says it; means over cases."""

    role: Literal["source", "held-out"]
    split: Split
    cases: int
    dice: dict[str, float]
    """Structure -> mean Dice on the native grid."""


class ReleasedModel(Frozen):
    """What `model.json` says about the weights in `model.safetensors` beside it."""

    study: Study
    """Without the places of its data."""
    study_hash: Sha256
    """Of the study as the run wrote it; a later version may read more options into it."""
    model_hash: Sha256
    """`content_hash` of the weights: a file with other weights is refused."""
    generation: Annotated[int, Field(ge=1)]
    recursions: Annotated[int, Field(ge=1)]
    """Passes at inference, as the held-out sites were measured."""
    sites: dict[str, SiteScore] = Field(default_factory=dict)
    reference: DriftReference | None = None
    """What drift is measured against."""
    risk: RiskRule | None = None
    """Tells sure answers from others; absent where no validation case had evidence."""
    warnings: tuple[str, ...] = ()
    versions: dict[str, str]
    created: str
