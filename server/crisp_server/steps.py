"""What comes next in a study: a pure function of what is finished."""

from __future__ import annotations

from dataclasses import dataclass

from crisp_core.numerics.schedule import steps_per_round
from crisp_core.schema.manifest import Progress
from crisp_core.schema.study import Study

PIXELS_SETTLED = 0.01
HINTS_SETTLED = 0.03


@dataclass(frozen=True)
class Describe:
    """Ask every site what it has."""


@dataclass(frozen=True)
class MakeHints:
    """Every source makes the hints that `generation` trains with."""

    generation: int


@dataclass(frozen=True)
class TrainRound:
    """One plan out, updates in, one average."""

    generation: int
    round_number: int
    first_step: int
    steps: int


@dataclass(frozen=True)
class Validate:
    """Sources measure M(generation) on their validation patients."""

    generation: int


@dataclass(frozen=True)
class HoldOut:
    """Every site measures the selected model, once."""


Step = Describe | MakeHints | TrainRound | Validate | HoldOut


def next_step(study: Study, progress: Progress) -> Step | None:
    """Return the first step that is not finished, or None when the study is complete."""
    if not progress.sites:
        return Describe()
    if len(progress.validations) < _last_generation(study, progress):
        return _within_generation(study, progress, len(progress.validations) + 1)
    return None if progress.final else HoldOut()


def _within_generation(study: Study, progress: Progress, generation: int) -> Step:
    hints_wanted = study.crisp.hint != "none" and generation > 1
    if hints_wanted and len(progress.hints) < generation - 1:
        return MakeHints(generation)
    plan = round_plan(study)
    done = len(progress.rounds)
    if done < len(plan) and plan[done].generation == generation:
        return plan[done]
    return Validate(generation)


def round_plan(study: Study) -> tuple[TrainRound, ...]:
    """List every round of the study in order; the optimiser steps sum to the study's budget."""
    schedule = steps_per_round(
        study.training.steps, study.crisp.phase_shares, study.federation.rounds
    )
    rounds: list[TrainRound] = []
    first_step = 0
    for generation, steps_of_rounds in enumerate(schedule, start=1):
        for steps in steps_of_rounds:
            rounds.append(TrainRound(generation, len(rounds) + 1, first_step, steps))
            first_step += steps
    return tuple(rounds)


def _last_generation(study: Study, progress: Progress) -> int:
    return progress.converged_at or study.crisp.generations


def converged(study: Study, progress: Progress) -> bool:
    """Tell whether the newest hints have settled at every source.

    Settled means fewer than 1 % of the predicted pixels and fewer than 3 % of the hint values
    changed since the generation before; the first hints have nothing to be compared with.
    """
    if not study.crisp.stop_when_converged or not progress.hints:
        return False
    return all(
        figures.pixels_changed is not None
        and figures.changed is not None
        and figures.pixels_changed < PIXELS_SETTLED
        and figures.changed < HINTS_SETTLED
        for figures in progress.hints[-1].values()
    )
