"""Which answers a run would have let through: flags beside the truth, site by site."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from crisp_core.model.risk import flag_of, has_failed
from crisp_core.numerics.uncertainty import (
    area_under_risk_coverage,
    rank_correlation,
    risk_coverage,
)
from crisp_core.report.tables import DICE, case_value
from crisp_core.schema.messages import CaseFigures, Evaluation
from crisp_core.schema.risk import RiskFlag, RiskRule
from crisp_core.schema.summary import RunSummary


@dataclass(frozen=True)
class RiskRow:
    """What the flag did at one site.

    Attributes:
        site: The site.
        case_count: Cases with evidence; the others cannot be judged.
        accepted: Cases per decision, as are the next two.
        reviewed: See `accepted`.
        rejected: See `accepted`.
        failed: Cases with a Dice below 0.7.
        silent: Of all cases, those that failed and were accepted.
        silent_rate: silent / case_count; None without a case.
        caught_rate: Of the failed cases, the share that was flagged; None where none failed.
        reasons: Reason code -> flagged cases that it speaks against.
        area: Area under the risk-coverage curve of the score, risk 1 - Dice; None without a case.
        rank_correlation: Spearman's rho of score and 1 - Dice; None with fewer than three cases.
        coverage_risk: Mean 1 - Dice of the n surest cases, n = 1 … all.
    """

    site: str
    case_count: int
    accepted: int
    reviewed: int
    rejected: int
    failed: int
    silent: int
    silent_rate: float | None
    caught_rate: float | None
    reasons: dict[str, int]
    area: float | None
    rank_correlation: float | None
    coverage_risk: tuple[float, ...]


def risk_rows(summary: RunSummary) -> tuple[RiskRow, ...]:
    """Judge every final case by the run's rule; the highest silent-failure rate first."""
    rule = summary.risk
    if rule is None:
        return ()
    rows = [risk_row(rule, evaluation) for _, evaluation in sorted(summary.final.items())]
    return tuple(sorted(rows, key=lambda row: -(row.silent_rate or 0.0)))


def flags_of(rule: RiskRule, evaluation: Evaluation) -> dict[str, RiskFlag]:
    """Return the flag of every case of a site, by its pseudonym."""
    return {case.case: flag_of(rule, case.evidence) for case in evaluation.cases}


def risk_row(rule: RiskRule, evaluation: Evaluation) -> RiskRow:
    """Count what the flag did to one site's cases."""
    cases = [case for case in evaluation.cases if case.evidence is not None]
    flags = [flag_of(rule, case.evidence) for case in cases]
    failed = [has_failed(case) for case in cases]
    accepted = [flag.decision == "accept" for flag in flags]
    silent = sum(bad and taken for bad, taken in zip(failed, accepted, strict=True))
    decisions = Counter(flag.decision for flag in flags)
    scores, risks = [flag.score or 0.0 for flag in flags], [_risk(case) for case in cases]
    return RiskRow(
        site=evaluation.site,
        case_count=len(cases),
        accepted=decisions["accept"],
        reviewed=decisions["review"],
        rejected=decisions["reject"],
        failed=sum(failed),
        silent=silent,
        silent_rate=silent / len(cases) if cases else None,
        caught_rate=1 - silent / sum(failed) if any(failed) else None,
        reasons=dict(Counter(reason for flag in flags for reason in flag.reasons)),
        area=area_under_risk_coverage(scores, risks) if cases else None,
        rank_correlation=rank_correlation(scores, risks),
        coverage_risk=tuple(risk_coverage(scores, risks).tolist()) if cases else (),
    )


def rule_sentence(rule: RiskRule) -> str:
    """Say what the thresholds stand on."""
    cases = f"{rule.failure_count} of {rule.case_count} validation cases failed"
    if rule.basis == "quantiles":
        return (
            f"Only {cases} (Dice below {rule.failure_dice:g}): too few to set a catch rate. The "
            f"{rule.flagged:.0%} with the strongest evidence against them are flagged instead."
        )
    return (
        f"{cases} (Dice below {rule.failure_dice:g}). The flag catches {rule.caught or 0:.0%} of "
        f"them, as asked for ({rule.catch_rate:.0%}), and flags {rule.flagged:.0%} of all."
    )


def _risk(case: CaseFigures) -> float:
    return 1 - (case_value(case.answer, DICE, tuple(case.answer.structures)) or 0.0)
