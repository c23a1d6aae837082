"""A stress test in words: what is tried with whom, and one line for every answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import Fraction, Split

CLEAN = "clean"
"""The word of an image as it came, at severity 0."""


class StressedModel(Frozen):
    """A model that is tried: the first of a plan is in question, the second its baseline."""

    name: str
    model_hash: str
    recursions: Annotated[int, Field(ge=1)]


class StressPlan(Frozen):
    """Everything that decides what a stress test measures."""

    models: Annotated[tuple[StressedModel, ...], Field(min_length=1, max_length=2)]
    classes: tuple[str, ...]
    data: str
    """Name of the site or folder."""
    split: Split
    """Which of the site's cases: all where it did not train."""
    cases: tuple[str, ...]
    corruptions: tuple[str, ...]
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...]
    seed: int

    @property
    def steps(self) -> tuple[tuple[str, int], ...]:
        """What is done to every case: nothing, then every corruption at every severity."""
        tried = ((word, level) for word in self.corruptions for level in self.severities)
        return ((CLEAN, 0), *tried)

    @property
    def answer_count(self) -> int:
        """Answers of a whole test."""
        return len(self.models) * len(self.cases) * len(self.steps)


class StressFigures(Frozen):
    """One structure, on the grid of the image as it came."""

    dice: Fraction
    hd95_mm: Annotated[float, Field(ge=0)]


class StressAnswer(Frozen):
    """What one model made of one case after one corruption; the line stays at the site."""

    model: str
    case: str
    patient: str
    corruption: str
    severity: int
    structures: dict[str, StressFigures]

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What tells this answer from every other one of its plan."""
        return self.model, self.case, self.corruption, self.severity
