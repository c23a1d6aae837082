"""Everything that a format may tell of one case."""

from __future__ import annotations

from dataclasses import dataclass

from crisp_client.prediction.answer import Answer
from crisp_client.prediction.inputs import Opened
from crisp_core.schema.answer import AnswerRecord
from crisp_core.schema.released import ReleasedModel


@dataclass(frozen=True)
class Result:
    """One case: what was asked, what the network says, and what is known of both."""

    case: Opened
    answer: Answer
    model: ReleasedModel
    record: AnswerRecord

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the structures: of label 1, of label 2 and so on."""
        return self.model.study.classes
