"""The flag of an answer: the same function where a run is reported and where a model is used."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import get_args

from crisp_core.numerics.risk import fit_rule, reasons, score
from crisp_core.schema.messages import CaseFigures, Evaluation
from crisp_core.schema.risk import FAILURE_DICE, Reason, RiskEvidence, RiskFlag, RiskRule

CODES: dict[str, Reason] = {code: code for code in get_args(Reason)}


def flag_of(rule: RiskRule, evidence: RiskEvidence | None) -> RiskFlag:
    """Judge one answer by what it says about itself.

    An answer without evidence is never accepted.
    """
    known = {} if evidence is None else evidence_numbers(evidence)
    value = score(known, rule.quantiles)
    if value is None:
        return RiskFlag(decision="review", reasons=("no-evidence",))
    if value < rule.review:
        return RiskFlag(decision="accept", score=value)
    named = tuple(CODES[name] for name in reasons(known, rule.quantiles, rule.review))
    decision = "reject" if value >= rule.reject else "review"
    return RiskFlag.model_validate({"decision": decision, "score": value, "reasons": named})


def fitted_rule(validation: Iterable[Evaluation], catch_rate: float) -> RiskRule | None:
    """Fit the rule on validation cases of all sources; None where no case has evidence."""
    cases = [case for one in validation for case in one.cases if case.evidence is not None]
    if not cases:
        return None
    numbers = [evidence_numbers(case.evidence) for case in cases if case.evidence is not None]
    fitted = fit_rule(numbers, [has_failed(case) for case in cases], catch_rate)
    return RiskRule(
        quantiles=fitted.quantiles,
        review=fitted.review,
        reject=fitted.reject,
        catch_rate=catch_rate,
        basis=fitted.basis,
        case_count=fitted.case_count,
        failure_count=fitted.failure_count,
        caught=fitted.caught,
        flagged=fitted.flagged,
    )


def evidence_numbers(evidence: RiskEvidence) -> dict[str, float | None]:
    """Turn evidence into numbers of which more is worse, under their reason codes."""
    return {
        "uncertain": evidence.uncertain_fraction,
        "disagreement": 1 - evidence.core_support_agreement,
        "changed": evidence.recursion_change,
        "entropy": evidence.entropy,
    }


def has_failed(case: CaseFigures) -> bool:
    """Whether the mean Dice over the structures of the answer is below `FAILURE_DICE`."""
    return fmean(figures.dice for figures in case.answer.structures.values()) < FAILURE_DICE
