"""What a person made of a prediction: taken, edited or thrown away, and why."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import Fraction
from crisp_core.schema.prediction import Flag, Pseudonym
from crisp_core.schema.released import Sha256
from crisp_core.schema.study import Name

Verdict = Literal["accept", "edit", "reject"]


class Feedback(Frozen):
    """One judgement of one answer; it stays at the site."""

    number: Annotated[int, Field(ge=1)]
    """Judgements of one answer are counted; none replaces another."""
    time: str
    pseudonym: Pseudonym
    input_hash: Sha256
    model_hash: Sha256
    answer_hash: Sha256
    """Of the answer's `prediction.json`."""
    flag: Flag | None
    """What the flag had said."""
    verdict: Verdict
    reason: Annotated[str, Field(min_length=1, max_length=500)]
    dice: dict[Name, Fraction] = Field(default_factory=dict)
    """Structure -> Dice of the edited mask and the answer; empty without an edited mask."""
    edited_hash: Sha256 | None = None
    """Of the file that came back; its labels are kept beside this."""
