"""Which lines of a log are compared, and with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from crisp_client.home import SiteHome
from crisp_client.monitoring import log
from crisp_client.monitoring.compare import ALPHA, compare
from crisp_client.monitoring.figures import reference_from
from crisp_core.errors import DataError, UsageError
from crisp_core.files.released import read_card
from crisp_core.schema.drift import DriftReference, DriftReport
from crisp_core.schema.prediction import PredictionLine


@dataclass(frozen=True)
class Window:
    """The newest `last` lines, or those since a time; neither: all."""

    last: int | None = None
    since: datetime | None = None

    def of(self, lines: Sequence[PredictionLine]) -> tuple[PredictionLine, ...]:
        """Choose from lines, oldest first."""
        young = [line for line in lines if self.since is None or line.time >= self.since]
        return tuple(young[-self.last :] if self.last else young)


def drift(
    place: SiteHome | Path,
    window: Window,
    *,
    model: Path | None = None,
    reference: Path | None = None,
    alpha: float = ALPHA,
) -> DriftReport:
    """Compare a window of the log with the model's own reference or with a stretch of a log.

    Args:
        place: A site's home, or the folder of its log.
        window: What is compared.
        model: A released model; only what it predicted counts.
        reference: A log; what it holds from the window's first line on does not count.
        alpha: Chance of any alarm where nothing has moved.

    Raises:
        DataError: If a log is absent, damaged or empty where it matters, or of another model.
        UsageError: If there is nothing to compare with.
    """
    lines = log.read(place).sound()
    card = read_card(model) if model else None
    lines = _of_model(lines, card.model_hash if card else lines[-1].model_hash if lines else "")
    chosen = window.of(lines)
    if not chosen:
        raise DataError(
            expected="at least one prediction in the window",
            got=f"none of the {len(lines)} in the log",
            where=f"--since {window.since}" if window.since else str(log.folder_of(place)),
            fix="Choose an earlier time, or predict something first",
        )
    if reference is not None:
        return compare(chosen, _from_log(reference, chosen), "log", alpha)
    if card is None or card.reference is None:
        raise _no_reference(model)
    return compare(chosen, card.reference, "model", alpha)


def _of_model(lines: Sequence[PredictionLine], model_hash: str) -> tuple[PredictionLine, ...]:
    """Keep the predictions of one model, in the order of their times."""
    own = [line for line in lines if line.model_hash == model_hash]
    if lines and not own:
        others = sorted({line.model_hash[:12] for line in lines})
        raise DataError(
            expected=f"predictions of model {model_hash[:12]}",
            got=f"only those of {', '.join(others[:3])}",
            where="the prediction log",
            fix="Name the model that was used, or the log of this one",
        )
    return tuple(sorted(own, key=lambda line: line.time))


def _from_log(path: Path, window: Sequence[PredictionLine]) -> DriftReference:
    """Summarise what a log holds of the same model before the window began."""
    lines = _of_model(log.read(path).sound(), window[0].model_hash)
    earlier = [line for line in lines if line.time < window[0].time]
    if not earlier:
        raise DataError(
            expected="predictions from before the window",
            got="none",
            where=str(path),
            fix="Shorten the window with --last or --since, or name another log",
        )
    return reference_from(earlier)


def _no_reference(model: Path | None) -> UsageError:
    return UsageError(
        expected="a model whose model.json holds a drift reference, or --reference LOG",
        got="a model without one" if model else "neither",
        where=str(model) if model else "crisp-client drift",
        fix="Name a released model, or a log of predictions that were looked at: --reference LOG",
    )
