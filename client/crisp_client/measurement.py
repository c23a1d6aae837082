"""A site's own last measurement: what was measured, with which model, and what came out."""

from __future__ import annotations

from pathlib import Path

from crisp_core.errors import RunStateError
from crisp_core.files.atomic import write_text
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import Evaluation
from crisp_core.schema.risk import RiskRule
from crisp_core.schema.study import Study

FILE = "last-measurement.json"


class Measurement(Frozen):
    """One final measurement as the site made it, before its policy; it stays in the work folder."""

    study: Study
    model_hash: str
    generation: int
    recursions: int
    evaluation: Evaluation
    measured: str
    """When, ISO 8601."""
    risk: RiskRule | None = None
    """As it came with the model."""


def keep_measurement(work: Path, measurement: Measurement) -> None:
    """Put a measurement in the place of the last one."""
    write_text(work / FILE, measurement.model_dump_json())


def last_measurement(work: Path) -> Measurement:
    """Read the last measurement.

    Raises:
        RunStateError: If there is none, or it is damaged.
    """
    path = work / FILE
    try:
        return Measurement.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        raise RunStateError(
            expected="the figures of a final measurement",
            got="a damaged file" if path.exists() else "none",
            where=str(path),
            fix="They are there once a study has measured its model at this site",
        ) from None
