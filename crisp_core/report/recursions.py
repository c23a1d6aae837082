"""What feeding hints back did: first pass, last pass and the answer, site by site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from crisp_core.numerics.statistics import Interval
from crisp_core.report.tables import DICE, HD95, Bootstrap, Metric, case_value
from crisp_core.schema.messages import CaseFigures, RecursionFigures
from crisp_core.schema.summary import RunSummary

FALL = 0.02
"""A mean Dice that falls by more than this against the first pass is marked."""


@dataclass(frozen=True)
class PassFigures:
    """Means over a site's cases after one pass, or after the pass that was chosen case by case."""

    dice: float
    hd95_mm: float


@dataclass(frozen=True)
class PassRow:
    """One site: the first pass, the last one, and the answer among them."""

    site: str
    role: str
    case_count: int
    first: PassFigures
    last: PassFigures
    answer: PassFigures
    last_gain: Interval
    """Dice of the last pass minus that of the first, case by case."""
    answer_gain: Interval
    """Dice of the answer minus that of the first pass, case by case."""
    chosen_counts: tuple[int, ...]
    """How often the answer is pass 1, 2, ..., K."""

    @property
    def last_fell(self) -> bool:
        """Without a guard this site would have lost."""
        return self.last_gain.mean < -FALL

    @property
    def answer_fell(self) -> bool:
        """This site lost in spite of the guard."""
        return self.answer_gain.mean < -FALL


def pass_rows(summary: RunSummary, sites: Sequence[str]) -> tuple[PassRow, ...]:
    """Compare first pass, last pass and answer at those `sites` that measured a case."""
    return tuple(_pass_row(summary, site) for site in sites if _measured(summary, site))


def _measured(summary: RunSummary, site: str) -> list[CaseFigures]:
    classes = set(summary.study.classes)
    return [case for case in summary.final[site].cases if classes & set(case.answer.structures)]


def _pass_row(summary: RunSummary, site: str) -> PassRow:
    cases, classes = _measured(summary, site), summary.study.classes
    first = [case.recursions[0] for case in cases]
    last = [case.recursions[-1] for case in cases]
    answer = [case.answer for case in cases]
    bootstrap = Bootstrap(summary.study.evaluation.bootstrap_samples, summary.study_hash)

    def gain(after: Sequence[RecursionFigures]) -> Interval:
        pairs = zip(_values(first, DICE, classes), _values(after, DICE, classes), strict=True)
        patients = [case.patient for case in cases]
        return bootstrap.interval([end - start for start, end in pairs], patients, site, "gain")

    return PassRow(
        site=site,
        role=summary.study.sites[site].role,
        case_count=len(cases),
        first=_pass_figures(first, classes),
        last=_pass_figures(last, classes),
        answer=_pass_figures(answer, classes),
        last_gain=gain(last),
        answer_gain=gain(answer),
        chosen_counts=tuple(
            sum(case.chosen == number for case in cases)
            for number in range(1, summary.pass_count + 1)
        ),
    )


def _pass_figures(recursions: Sequence[RecursionFigures], classes: Sequence[str]) -> PassFigures:
    return PassFigures(
        fmean(_values(recursions, DICE, classes)), fmean(_values(recursions, HD95, classes))
    )


def _values(
    recursions: Sequence[RecursionFigures], metric: Metric, classes: Sequence[str]
) -> list[float]:
    values = (case_value(recursion, metric, classes) for recursion in recursions)
    return [value for value in values if value is not None]
