"""The main loop: from one finished step to the next, until the study is complete."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from crisp_core.arrays import Parameters
from crisp_core.schema.manifest import Progress
from crisp_core.schema.messages import HintFigures, HintPlan, SiteDescription
from crisp_core.schema.study import Study
from crisp_server.holdout import (
    check_descriptions,
    final_plan,
    hold_out,
    select_generation,
    validate,
)
from crisp_server.own import own_arrays_of
from crisp_server.rounds import RemindedSites, train_round
from crisp_server.sites import Sites, replies_of_all
from crisp_server.steps import (
    Describe,
    HoldOut,
    MakeHints,
    Step,
    TrainRound,
    Validate,
    converged,
    next_step,
)
from crisp_server.store import RunFolder
from crisp_server.verdict import Window, insist_on_fit, verdict


@dataclass(frozen=True)
class FederationState:
    """The model and everything that led to it."""

    parameters: Parameters
    progress: Progress


def run_study(
    study: Study, state: FederationState, sites: Sites, run: RunFolder
) -> Iterator[tuple[Step, FederationState]]:
    """Take one step after the other and yield the state after each."""
    while (step := next_step(study, state.progress)) is not None:
        state = take_step(study, step, state, sites, run)
        yield step, state


def take_step(
    study: Study, step: Step, state: FederationState, sites: Sites, run: RunFolder
) -> FederationState:
    """Return the state after `step`; `state` itself does not change."""
    match step:
        case Describe():
            return _described(study, state, sites)
        case MakeHints():
            return _with_hints(study, step, state, RemindedSites(sites, run))
        case TrainRound():
            return _trained(study, step, state, sites, run)
        case Validate():
            return _validated(study, step, state, sites, run)
        case HoldOut():
            return _held_out(study, state, sites, run)


def _described(study: Study, state: FederationState, sites: Sites) -> FederationState:
    plans = dict.fromkeys(sorted(study.sites))
    asked = time.time()
    described = replies_of_all(sites, "describe", plans, None, SiteDescription)
    check_descriptions(study, described)
    lines = verdict(study, described, Window(asked, time.time()))
    insist_on_fit(described, lines)
    update = {"sites": described, "verdict": lines}
    return replace(state, progress=state.progress.model_copy(update=update))


def _with_hints(
    study: Study, step: MakeHints, state: FederationState, sites: Sites
) -> FederationState:
    plan = HintPlan(generation=step.generation, models=state.progress.generation_models)
    rounds, maker = state.progress.rounds, step.generation - 1
    plans = {
        site: plan.model_copy(update={"own": own_arrays_of(study, site, rounds, maker)})
        for site in study.sources
    }
    hints = replies_of_all(sites, "hints", plans, state.parameters, HintFigures)
    progress = state.progress.model_copy(
        update={
            "hints": (*state.progress.hints, hints),
            "site_seconds": state.progress.site_seconds + sum(h.seconds for h in hints.values()),
        }
    )
    if converged(study, progress):
        progress = progress.model_copy(update={"converged_at": step.generation - 1})
    return replace(state, progress=progress)


def _trained(
    study: Study, step: TrainRound, state: FederationState, sites: Sites, run: RunFolder
) -> FederationState:
    result = train_round(
        study, step, state.parameters, state.progress.generation_models, sites, run
    )
    spent = sum(figures.seconds for figures in result.summary.trained.values())
    progress = state.progress.model_copy(
        update={
            "rounds": (*state.progress.rounds, result.summary),
            "personal_norms": (
                *state.progress.personal_norms,
                *([run.keep_model(result.personal)] if result.personal else ()),
            ),
            "aggregation_memory": run.keep_model(result.memory) if result.memory else "",
            "warnings": tuple(dict.fromkeys((*state.progress.warnings, *result.notes))),
            "site_seconds": state.progress.site_seconds + spent,
        }
    )
    return FederationState(result.parameters, progress)


def _validated(
    study: Study, step: Validate, state: FederationState, sites: Sites, run: RunFolder
) -> FederationState:
    progress = state.progress
    measured = (
        validate(study, step.generation, state.parameters, sites, progress.rounds)
        if study.evaluation.select == "worst-site"
        else {}
    )
    progress = progress.model_copy(
        update={
            "validations": (*progress.validations, measured),
            "generation_models": (
                *progress.generation_models,
                run.keep_model(state.parameters),
            ),
            "site_seconds": progress.site_seconds + sum(e.seconds for e in measured.values()),
        }
    )
    return replace(state, progress=progress)


def _held_out(
    study: Study, state: FederationState, sites: Sites, run: RunFolder
) -> FederationState:
    generation = select_generation(study, state.progress.validations)
    parameters = run.model(state.progress.generation_models[generation - 1])
    heads = state.progress.personal_norms
    personal = run.model(heads[generation - 1]) if heads else {}
    plan = final_plan(study, generation, state.progress.validations)
    final = hold_out(study, plan, parameters, sites, state.progress.rounds, personal)
    spent = sum(evaluation.seconds for evaluation in final.values())
    progress = state.progress.model_copy(
        update={"final": final, "site_seconds": state.progress.site_seconds + spent}
    )
    return FederationState(parameters, progress)
