"""The one door out of the hospital: figures and arrays, checked; errors without their text."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from crisp_core.arrays import Parameters
from crisp_core.errors import CrispError, DivergedError, HintsMissingError
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import SiteFault

_SENTENCES = {
    HintsMissingError.code: "The site has no hints of this generation made by this model",
    "data": "A case or table at the site cannot be used; the site's log names it",
    "state": "The site cannot write its work folder; the site's log says why",
    "study": "The site cannot run this study; the site's log says why",
    "weights": "The model that came does not fit the study's network",
    DivergedError.code: "Training at the site ended in numbers that are not finite",
    "missing-extra": "An optional package that the study needs is not installed at the site",
}
_CRASH = "The step ended with an unexpected error; the site's log has the details"


@dataclass(frozen=True)
class Departure:
    """What is about to leave: figures, arrays and a case count, or a fault."""

    figures: Frozen | None = None
    parameters: Parameters = field(default_factory=dict)
    case_count: int = 0
    fault: SiteFault | None = None


def checked(departure: Departure) -> Departure:
    """Let a departure pass, or replace it by a fault: numbers that are not finite stay here."""
    if all(np.isfinite(array).all() for array in departure.parameters.values()):
        return departure
    code = DivergedError.code
    return Departure(fault=SiteFault(code=code, sentence=_SENTENCES[code]))


def fault_of(error: Exception, log: Path | None) -> Departure:
    """Turn an error into a code and a sentence without names or paths; its text stays in `log`.

    Where the log cannot be written the text goes to stderr, which is the site's own as well.
    """
    known = isinstance(error, CrispError)
    if log is not None:
        text = str(error) if known else "".join(traceback.format_exception(error)).strip()
        _write_down(text + "\n", log)
    code = error.code if isinstance(error, CrispError) else "crash"
    return Departure(fault=SiteFault(code=code, sentence=_SENTENCES.get(code, _CRASH)))


def _write_down(text: str, log: Path) -> None:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        sys.stderr.write(text)
