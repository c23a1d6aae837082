"""What is kept of one prediction: enough to see a hospital's images or its model's answers move.

A line holds no path, no name and no pixel: hashes, codes and a dozen figures. Every field that is
text has a pattern that a patient's name or a path does not fit.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from crisp_core.schema.frozen import Frozen
from crisp_core.schema.study import Name

Pseudonym = Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.:-]{0,63}$")]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Lengths = tuple[Positive, Positive, Positive]
Flag = Literal["accept", "review", "reject"]


class IntensitySummary(Frozen):
    """One channel of the image as it came, in the file's own units."""

    low: float
    """Percentile 1."""
    median: float
    high: float
    """Percentile 99."""


class PredictionLine(Frozen):
    """One prediction, as the log keeps it."""

    time: AwareDatetime
    """When the answer was ready."""
    pseudonym: Pseudonym
    """Of the case; the site alone can resolve it."""
    input_hash: Sha256
    """Of the image as it was read."""
    model_hash: Sha256
    flag: Flag | None
    """What the risk rule said; None: the model has no rule."""
    reasons: tuple[Code, ...] = ()
    """Codes of what raised the flag."""
    entropy: NotNegative
    """The guard's figure of the answer, nats per predicted foreground pixel."""
    volumes_ml: dict[Name, NotNegative]
    """By structure; 0 where none was found."""
    intensity: Annotated[tuple[IntensitySummary, ...], Field(min_length=1)]
    """By channel."""
    spacing_mm: Lengths
    """Along D (the slice thickness), H, W."""
    latency_s: NotNegative
    """From the opened image to the written answer."""

    def text(self) -> str:
        """Write the line's JSON: no line break in it."""
        return self.model_dump_json()
