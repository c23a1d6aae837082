"""A hospital's own cases, the worst first, with what the risk flag says of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crisp_core.model.risk import flag_of, has_failed
from crisp_core.report.analysis.flags import threshold_sentence
from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, named, words
from crisp_core.report.tables import DICE, HD95, Metric, case_value
from crisp_core.schema.messages import CaseFigures
from crisp_core.schema.risk import RiskRule

JUDGED = (*named(("Flag", "Reasons")), Heading("score", "Score", decimals=2))


def own_case_sheet(cases: Sequence[CaseFigures], rule: RiskRule | None) -> Sheet:
    """List every case, the lowest Dice first; without a rule nothing is said of its answer.

    It names cases and patients: for the site's own page, never for the federation's.
    """
    figures = tuple(Heading(m.key, m.label, m.unit, decimals=m.decimals) for m in (DICE, HD95))
    ranked = sorted(cases, key=lambda case: (_figure(case, DICE) or 0.0, case.case))
    return Sheet(
        "own-cases",
        "Every case, the worst first",
        (*named(("Case", "Patient")), *figures, *(JUDGED if rule else ())),
        tuple((*_measured(case), *(_judged(case, rule) if rule else ())) for case in ranked),
        _note(rule),
    )


def _measured(case: CaseFigures) -> Iterator[Entry]:
    yield from map(words, (case.case, case.patient))
    yield from (Entry(_figure(case, metric)) for metric in (DICE, HD95))


def _judged(case: CaseFigures, rule: RiskRule) -> tuple[Entry, ...]:
    flag = flag_of(rule, case.evidence)
    silent = flag.decision == "accept" and has_failed(case)
    decision = f"{flag.decision}, but failed" if silent else flag.decision
    return words(decision, fall=silent), words(", ".join(flag.reasons)), Entry(flag.score)


def _figure(case: CaseFigures, metric: Metric) -> float | None:
    return case_value(case.answer, metric, tuple(case.answer.structures))


def _note(rule: RiskRule | None) -> str:
    if rule is None:
        return ""
    return (
        "Means over the structures. Score: where the evidence lies among the sources' validation "
        "cases, 0 at their surest and 1 at their least sure, more beyond. "
        f"{threshold_sentence(rule)}"
    )
