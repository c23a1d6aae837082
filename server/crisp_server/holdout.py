"""Measuring: validation at the sources, selection by the worst of them, the held-out sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from crisp_core.arrays import Parameters
from crisp_core.errors import StudyError
from crisp_core.schema.messages import EvaluatePlan, Evaluation, SiteDescription
from crisp_core.schema.study import Study
from crisp_server.sites import Sites, replies_of_all


def validate(
    study: Study, generation: int, parameters: Parameters, sites: Sites
) -> dict[str, Evaluation]:
    """Measure M(generation) on the validation patients of every source."""
    plan = EvaluatePlan(
        purpose="validation", generation=generation, recursions=_recursions(study, generation)
    )
    return _evaluations(sites, dict.fromkeys(study.sources, plan), parameters)


def hold_out(
    study: Study, generation: int, parameters: Parameters, sites: Sites
) -> dict[str, Evaluation]:
    """Measure the selected model, once, at every site: held-out first, then the sources."""
    plan = EvaluatePlan(
        purpose="final", generation=generation, recursions=_recursions(study, generation)
    )
    names = (*study.held_out, *study.sources)
    return _evaluations(sites, dict.fromkeys(names, plan), parameters)


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
            validation patients that a source does not have, or a class is missing at one site
            and present at another.
    """
    for name in study.sources:
        if sites[name].train_cases == 0:
            raise _too_few(name, "at least one training case")
        if study.evaluation.select == "worst-site" and sites[name].validation_cases == 0:
            raise _too_few(name, "at least one validation patient")
    for name in study.held_out:
        if sites[name].patients == 0:
            raise _too_few(name, "at least one case")
    _check_classes(study, sites)


def _check_classes(study: Study, sites: Mapping[str, SiteDescription]) -> None:
    for structure in study.classes:
        having = [name for name in sorted(sites) if sites[name].class_voxels[structure] > 0]
        lacking = sorted(set(sites) - set(having))
        if lacking:
            raise StudyError(
                expected=f"class {structure!r} at every site",
                got=f"not one voxel of it at {', '.join(lacking)}",
                where=f"label {study.classes.index(structure) + 1}",
                fix="Number the labels of every site in the order of the study's classes",
            )


def _too_few(site: str, expected: str) -> StudyError:
    return StudyError(
        expected=expected,
        got="none",
        where=f"site {site!r}",
        fix='Add patients, raise evaluation.validation_share, or set evaluation.select = "last"',
    )


def _recursions(study: Study, generation: int) -> int:
    return min(generation, study.recursions)


def _evaluations(
    sites: Sites, plans: Mapping[str, EvaluatePlan], parameters: Parameters
) -> dict[str, Evaluation]:
    figures = replies_of_all(sites, "evaluate", plans, parameters)
    return {site: Evaluation.model_validate_json(text) for site, text in figures.items()}
