"""A line in the prediction log for every answer: what monitoring compares with training."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from crisp_client.home import SiteHome
from crisp_client.monitoring.log import append
from crisp_client.prediction.inputs import Opened
from crisp_core.schema.answer import AnswerRecord
from crisp_core.schema.prediction import IntensitySummary, PredictionLine

PERCENTILES = (1, 50, 99)
PSEUDONYM_LETTERS = 12


@dataclass(frozen=True)
class PredictionLog:
    """Where lines go, and the secret that cases are named by.

    Attributes:
        place: A site's home, or a folder.
        pseudonym_key: With it alone a pseudonym can be resolved.
    """

    place: SiteHome | Path
    pseudonym_key: str

    def note(self, case: Opened, record: AnswerRecord, latency_s: float) -> None:
        """Add the line of one answer.

        Raises:
            RunStateError: If the log cannot be written.
        """
        append(self.place, line_of(case, record, latency_s, self.pseudonym_key))


def line_of(case: Opened, record: AnswerRecord, latency_s: float, key: str) -> PredictionLine:
    """Sum up one answer without a name, a path or a pixel."""
    name = hmac.new(key.encode(), case.name.encode(), hashlib.sha256).hexdigest()
    return PredictionLine(
        time=datetime.now(UTC),
        pseudonym=name[:PSEUDONYM_LETTERS],
        input_hash=record.input_hash,
        model_hash=record.model_hash,
        flag=record.flag.decision if record.flag else None,
        reasons=record.flag.reasons if record.flag else (),
        entropy=record.entropy,
        volumes_ml={name: one.volume_ml for name, one in record.structures.items()},
        intensity=tuple(_summary(channel) for channel in case.volume.array),
        spacing_mm=record.spacing_mm,
        latency_s=latency_s,
    )


def _summary(channel: np.ndarray) -> IntensitySummary:
    low, median, high = (float(value) for value in np.percentile(channel, PERCENTILES))
    return IntensitySummary(low=low, median=median, high=high)
