"""A hospital's policy (`policy.toml`): what may be asked of it and what may leave it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from crisp_core.schema.frozen import Frozen
from crisp_core.schema.record import Action

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_TIME = r"(([01]\d|2[0-3]):[0-5]\d|24:00)"
Hours = Annotated[str, Field(pattern=rf"^{_TIME}-{_TIME}$")]


class ApprovedStudy(Frozen):
    """A study that a person at the hospital has read and approved."""

    name: str
    hash: Hash
    architecture: Hash
    """Hash of the network's array names, shapes and types."""
    approved: str
    """When, ISO 8601."""


class Policy(Frozen):
    """What this hospital allows; the policy wins over every study."""

    actions: tuple[Action, ...] = ("describe", "hints", "train", "evaluate")
    hours: Hours = "00:00-24:00"
    """Local time in which work may begin; may wrap around midnight."""
    gpu_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the GPU's memory that a study may take."""
    max_rounds: Annotated[int, Field(ge=1)] = 1000
    max_epochs: Annotated[float, Field(gt=0)] = 1000.0
    """Passes over the site's training slices that one study may take in all."""
    max_evaluations: Annotated[int, Field(ge=1)] = 50
    """Models that one study may have measured here: each says a little about single cases."""
    max_bytes_out: Annotated[int, Field(ge=1)] = 2_000_000_000
    """Bytes of one answer."""
    max_norm_out: Annotated[float, Field(gt=0)] | None = None
    """L2 norm to which an update's change is clipped before it leaves; absent: not clipped."""
    min_cohort: Annotated[int, Field(ge=1)] = 5
    """Fewest patients that any figure may describe."""
    metrics: tuple[str, ...] | None = None
    """Metrics that may leave; absent: every metric."""
    pictures: bool = False
    """Whether pictures may leave; no action sends any unless this is true."""
    studies: tuple[ApprovedStudy, ...] = ()

    @field_validator("hours")
    @classmethod
    def _some_hours(cls, hours: str) -> str:
        begin, _, end = hours.partition("-")
        if begin == end:
            message = 'hours must begin and end at different times; all day is "00:00-24:00"'
            raise ValueError(message)
        return hours
