"""The one door out of the hospital: figures and arrays, checked; errors without their text."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType

import numpy as np

from crisp_client.redaction import redacted
from crisp_client.requests import Request
from crisp_core.arrays import AnyArray, Parameters
from crisp_core.errors import (
    CrispError,
    DivergedError,
    HintsMissingError,
    OwnArraysMissingError,
    PolicyError,
    SmallCohortError,
    WeightsError,
)
from crisp_core.schema.beside import model_of
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import (
    ESSENTIAL,
    Evaluation,
    HintFigures,
    SiteDescription,
    SiteFault,
    TrainFigures,
)
from crisp_core.schema.policy import Policy
from crisp_core.schema.record import Action

FIGURES: Mapping[Action, type[Frozen]] = MappingProxyType(
    {
        "describe": SiteDescription,
        "hints": HintFigures,
        "train": TrainFigures,
        "evaluate": Evaluation,
    }
)
"""The only figures that an action may answer with."""
CRASH = "crash"
SENTENCES = MappingProxyType(
    {
        HintsMissingError.code: "The site has no hints of this generation made by this model",
        OwnArraysMissingError.code: "The site has lost the arrays that it keeps for itself",
        "data": "A case or table at the site cannot be used; the site's log names it",
        "state": "The site cannot write its work folder or ledger; the site's log says why",
        "study": "The site cannot run this study; the site's log says why",
        "weights": "The model that came does not fit the study's network",
        DivergedError.code: "Training at the site ended in numbers that are not finite",
        "missing-extra": "An optional package that the study needs is not installed at the site",
        "usage": "The site is not set up as it should be; the site's log says why",
        "policy": "The site's policy does not allow this; the site's log names the rule",
        "untrusted": "What came is not signed, or is not what it says; the site's log names it",
        SmallCohortError.code: "Too few patients stand behind these figures for the site's policy",
        CRASH: "The step ended with an unexpected error; the site's log has the details",
    }
)
"""All the words that an error can leave with."""
LOG_BYTES = 5_000_000
"""Size at which `site.log` becomes `site.log.1`: a coordinator can have it written without end."""
LONGEST_TEXT = 20_000
"""Characters of an error that are kept: the coordinator's own words may be in it."""


@dataclass(frozen=True)
class Departure:
    """What is about to leave: figures, arrays and a case count, or a fault."""

    figures: Frozen | None = None
    parameters: Parameters = field(default_factory=dict)
    case_count: int = 0
    patients: int = 0
    """Different patients behind the figures; the fewest, where there are figures of parts."""
    epochs: float = 0.0
    """Passes over the training slices that this took."""
    stays: frozenset[str] = frozenset()
    """Names of the arrays that are the site's own: they may leave only as they came."""
    fault: SiteFault | None = None

    @property
    def figures_text(self) -> str:
        """The figures as they leave."""
        return self.figures.model_dump_json() if self.figures else ""

    @property
    def byte_count(self) -> int:
        """Bytes of arrays and figures."""
        arrays = sum(array.nbytes for array in self.parameters.values())
        return arrays + len(self.figures_text.encode())


def checked(departure: Departure, request: Request, policy: Policy | None) -> Departure:
    """Return what of a departure may leave.

    Args:
        departure: What this site has computed.
        request: What it was asked.
        policy: The site's; None in a simulation, where all sites are one person's.

    Raises:
        CrispError: If it may not leave: arrays that are not those of the network or not finite,
            figures of another kind or over too few patients, a metric that stays, too many bytes.
    """
    if departure.fault is not None:
        return departure
    for error in _array_flaws(departure, request):
        raise error
    return departure if policy is None else _allowed(departure, request, policy)


def clipped(returned: Parameters, received: Parameters, max_norm: float) -> dict[str, AnyArray]:
    """Shorten the change of all floating arrays together to L2 norm `max_norm`; counters stay.

    Examples:
        >>> clipped({"w": np.float32([3, 4])}, {"w": np.float32([0, 0])}, 1.0)["w"].tolist()
        [0.6000000238418579, 0.800000011920929]
    """
    changes = {
        name: array.astype(np.float64) - received[name]
        for name, array in returned.items()
        if array.dtype.kind == "f"
    }
    norm = float(np.sqrt(sum(np.square(change).sum() for change in changes.values())))
    if norm <= max_norm:
        return dict(returned)
    shorter = {
        name: (received[name] + change * (max_norm / norm)).astype(returned[name].dtype)
        for name, change in changes.items()
    }
    return {name: shorter.get(name, array) for name, array in returned.items()}


def fault_of(error: Exception, log: Path | None) -> Departure:
    """Turn an error into a code and a sentence without names or paths; its text stays in `log`.

    Where the log cannot be written the text goes to stderr, which is the site's own as well.
    """
    known = isinstance(error, CrispError)
    if log is not None:
        text = str(error) if known else "".join(traceback.format_exception(error)).strip()
        _write_down(text[:LONGEST_TEXT] + "\n", log)
    code = error.code if isinstance(error, CrispError) and error.code in SENTENCES else CRASH
    return Departure(fault=SiteFault(code=code, sentence=SENTENCES[code]))


def _allowed(departure: Departure, request: Request, policy: Policy) -> Departure:
    figures, arrays = departure.figures, departure.parameters
    for error in chain(_cohort_flaws(departure, policy), _metric_flaws(figures, policy)):
        raise error
    if policy.max_norm_out is not None:
        arrays = clipped(arrays, request.parameters, policy.max_norm_out)
    allowed = replace(departure, figures=_common(figures, policy), parameters=arrays)
    for error in _size_flaws(allowed, policy):
        raise error
    return allowed


def _array_flaws(departure: Departure, request: Request) -> Iterator[CrispError]:
    """Training returns what it was given, changed; nothing else returns an array."""
    expected = model_of(request.parameters) if request.action == "train" else {}
    if not isinstance(departure.figures, FIGURES[request.action]):
        got = type(departure.figures).__name__
        yield _kept(PolicyError, f"figures to {request.action}", got, "the answer")
    if _kinds(departure.parameters) != _kinds(expected):
        got = f"{len(departure.parameters)} of other names, shapes or types"
        yield _kept(WeightsError, f"{len(expected)} arrays as they came", got, request.action)
    for name, array in departure.parameters.items():
        if not np.isfinite(array).all():
            yield _kept(DivergedError, "finite numbers", "nan or infinity", f"array {name!r}")
    for name in sorted(departure.stays):
        if not _same(departure.parameters.get(name), expected.get(name)):
            yield _kept(WeightsError, "what came", "the site's own", f"array {name!r}")


def _same(one: AnyArray | None, other: AnyArray | None) -> bool:
    return one is not None and other is not None and one.tobytes() == other.tobytes()


def _kinds(arrays: Parameters) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (array.dtype.str, array.shape) for name, array in arrays.items()}


def _cohort_flaws(departure: Departure, policy: Policy) -> Iterator[CrispError]:
    figures, patients = departure.figures, departure.patients
    if isinstance(figures, Evaluation):
        patients = len({case.patient for case in figures.cases})
        if not patients:
            return
    if patients < policy.min_cohort:
        where = "the smallest of this site's training, validation and test patients"
        expected = f"figures over {policy.min_cohort} patients or more (min_cohort)"
        yield _kept(SmallCohortError, expected, f"{patients}", where)


def _common(figures: Frozen | None, policy: Policy) -> Frozen | None:
    """Take out what few patients share."""
    if isinstance(figures, SiteDescription):
        return figures.under(policy)
    return redacted(figures, policy) if isinstance(figures, Evaluation) else figures


def _metric_flaws(figures: Frozen | None, policy: Policy) -> Iterator[CrispError]:
    """Refuse the whole answer: a measurement without one of these figures would not be one."""
    if policy.metrics is None or figures is None:
        return
    fields = ESSENTIAL if isinstance(figures, Evaluation) else type(figures).model_fields
    kept = sorted(set(ESSENTIAL).intersection(fields) - set(policy.metrics))
    if kept:
        got = f"{', '.join(kept)} as well"
        yield _kept(PolicyError, "only the metrics that policy.toml allows", got, "the answer")


def _size_flaws(departure: Departure, policy: Policy) -> Iterator[CrispError]:
    if departure.byte_count > policy.max_bytes_out:
        expected = f"at most {policy.max_bytes_out:,} bytes (max_bytes_out)"
        yield _kept(PolicyError, expected, f"{departure.byte_count:,}", "the answer")


def _kept(kind: type[CrispError], expected: str, got: str, where: str) -> CrispError:
    fix = "Nothing has left; change the data, the study or policy.toml"
    return kind(expected=expected, got=got, where=where, fix=fix)


def _write_down(text: str, log: Path) -> None:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))
        with log.open("a", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError:
        sys.stderr.write(text)
