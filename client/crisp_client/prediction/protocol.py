"""What every predictor can do, whatever runs its network; no torch here."""

from __future__ import annotations

from typing import Protocol

from crisp_client.prediction.answer import Answer
from crisp_client.prediction.inputs import Opened
from crisp_core.schema.released import ReleasedModel


class Predictor(Protocol):
    """Whatever can answer for a released model."""

    @property
    def model(self) -> ReleasedModel:
        """Whose answers they are."""
        ...

    def answer(self, case: Opened) -> Answer:
        """Segment one image."""
        ...
