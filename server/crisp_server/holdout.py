"""Measuring: validation at the sources, selection by the worst of them, the held-out sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from statistics import fmean
from types import MappingProxyType
from typing import Literal

from crisp_core.arrays import Parameters
from crisp_core.errors import SiteFailedError, StudyError
from crisp_core.model.risk import fitted_rule
from crisp_core.schema.messages import (
    ESSENTIAL,
    CaseFigures,
    EvaluatePlan,
    Evaluation,
    SiteDescription,
)
from crisp_core.schema.risk import RiskRule
from crisp_core.schema.study import Study
from crisp_core.schema.summary import RoundSummary
from crisp_server.own import own_arrays_of
from crisp_server.sites import Sites, replies_of_all


def validate(
    study: Study,
    generation: int,
    parameters: Parameters,
    sites: Sites,
    rounds: Sequence[RoundSummary] = (),
) -> dict[str, Evaluation]:
    """Measure M(generation) on the validation patients of every source.

    Args:
        study: The study.
        generation: 1-based.
        parameters: M(generation).
        sites: Who is asked.
        rounds: Finished rounds: a source is measured with its own arrays that belong to the model.
    """
    plan = _plan(study, "validation", generation)
    plans = _with_own(study, plan, study.sources, rounds)
    return _evaluations(study, sites, plans, parameters)


def final_plan(
    study: Study, generation: int, validations: Sequence[Mapping[str, Evaluation]]
) -> EvaluatePlan:
    """Ask for the final measurement; the rule that judges its answers goes with the model."""
    rule = risk_rule(study, validations[generation - 1])
    return _plan(study, "final", generation).model_copy(update={"risk": rule})


def risk_rule(study: Study, validation: Mapping[str, Evaluation]) -> RiskRule | None:
    """Fit the flag on the sources' validation; None where no source sent evidence."""
    return fitted_rule(validation.values(), study.evaluation.catch_rate)


def hold_out(
    study: Study,
    plan: EvaluatePlan,
    parameters: Parameters,
    sites: Sites,
    rounds: Sequence[RoundSummary] = (),
    personal: Parameters = MappingProxyType({}),
) -> dict[str, Evaluation]:
    """Measure the selected model, once, at every site: held-out first, then the sources.

    `personal` are the sources' own normalisations, for held-out sites that need each of them.
    """
    unseen = dict.fromkeys(study.held_out, plan)
    seen = _with_own(study, plan, study.sources, rounds)
    if not personal:
        return _evaluations(study, sites, unseen | seen, parameters)
    measured = _evaluations(study, sites, unseen, {**parameters, **personal})
    return measured | _evaluations(study, sites, seen, parameters)


def _plan(study: Study, purpose: Literal["validation", "final"], generation: int) -> EvaluatePlan:
    recursions = min(generation, study.recursions)
    return EvaluatePlan(purpose=purpose, generation=generation, recursions=recursions)


def _with_own(
    study: Study, plan: EvaluatePlan, sites: Sequence[str], rounds: Sequence[RoundSummary]
) -> dict[str, EvaluatePlan]:
    return {
        site: plan.model_copy(update={"own": own_arrays_of(study, site, rounds, plan.generation)})
        for site in sites
    }


def select_generation(study: Study, validations: Sequence[Mapping[str, Evaluation]]) -> int:
    """Return the 1-based generation whose worst source site is best; the earlier one on a tie."""
    if study.evaluation.select == "last":
        return len(validations)
    worst = [min(site_dice(e) for e in validation.values()) for validation in validations]
    return worst.index(max(worst)) + 1


def site_dice(evaluation: Evaluation) -> float:
    """Mean Dice of a site: over its cases, each the mean over its structures."""
    return fmean(
        fmean(figures.dice for figures in case.answer.structures.values())
        for case in evaluation.cases
    )


def check_descriptions(study: Study, sites: Mapping[str, SiteDescription]) -> None:
    """Refuse, before round 1, a study that would lack a figure at some site.

    Raises:
        StudyError: If a source has no training case, a site nothing to measure, selection needs
            validation patients that a source does not have, or a site's policy keeps a metric.
    """
    for name in sorted(study.sites):
        _check_metrics(name, sites[name].metrics)
    for name in study.sources:
        if sites[name].train_cases == 0:
            raise _too_few(name, "at least one training case")
        if study.evaluation.select == "worst-site" and sites[name].validation_cases == 0:
            raise _too_few(name, "at least one validation patient")
    for name in study.held_out:
        if sites[name].patients == 0:
            raise _too_few(name, "at least one case")


def _check_metrics(site: str, allowed: Sequence[str] | None) -> None:
    """Insist on the essential metrics by name: every report has them, selection needs the Dice."""
    kept = [name for name in ESSENTIAL if allowed is not None and name not in allowed]
    if not kept:
        return
    alike = get_close_matches(kept[0].lower(), [name.lower() for name in allowed or ()], n=1)
    raise StudyError(
        expected=f"the metric {kept[0]!r} from every site",
        got=f"a policy that lets out {'one spelled otherwise' if alike else 'others'} only",
        where=f"site {site!r}",
        fix=f"Add {', '.join(kept)} to `metrics` in the site's policy.toml, or leave that key out",
    )


def _too_few(site: str, expected: str) -> StudyError:
    return StudyError(
        expected=expected,
        got="none",
        where=f"site {site!r}",
        fix='Add patients, raise evaluation.validation_share, or set evaluation.select = "last"',
    )


def _evaluations(
    study: Study, sites: Sites, plans: Mapping[str, EvaluatePlan], parameters: Parameters
) -> dict[str, Evaluation]:
    evaluations = replies_of_all(sites, "evaluate", plans, parameters, Evaluation)
    for site, evaluation in evaluations.items():
        if not evaluation.cases or not all(_is_whole(case, study) for case in evaluation.cases):
            raise SiteFailedError(
                expected="at least one case, each with every structure of the study",
                got="none, or one that lacks some",
                where=f"the evaluation of site {site!r}",
                fix="Mend it at the site, then `crisp resume`",
            )
    return evaluations


def _is_whole(case: CaseFigures, study: Study) -> bool:
    return 1 <= case.chosen <= len(case.recursions) and all(
        set(recursion.structures) == set(study.classes) for recursion in case.recursions
    )
