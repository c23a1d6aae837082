"""A study from its run folder to its last figure: load, step, save, until nothing is left."""

from __future__ import annotations

import time
from collections.abc import Mapping

from crisp_core.arrays import Parameters
from crisp_core.files.checkpoint import content_hash, write_parameters
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.parameters import to_arrays
from crisp_core.schema.manifest import Progress
from crisp_core.schema.study import Study
from crisp_core.schema.summary import RoundSummary
from crisp_server.events import EventLog, WatchedSites
from crisp_server.generations import FederationState, run_study
from crisp_server.sites import Sites
from crisp_server.steps import Step, TrainRound
from crisp_server.store import RunFolder


def conduct(run: RunFolder, sites: Sites) -> FederationState:
    """Bring the run in `run` to its end, saving after every step; a finished run is left as it is.

    The final model is written to `model.safetensors`, whichever process wrote its states.
    """
    study = run.study
    log = EventLog(run.path / "events.jsonl")
    state = _first_state(run, study)
    log.write("started", steps_done=_steps_done(state.progress))
    before, began = state.progress.seconds, time.monotonic()
    for step, after in run_study(study, state, WatchedSites(sites, log), run):
        spent = before + time.monotonic() - began
        state = FederationState(
            after.parameters, after.progress.model_copy(update={"seconds": spent})
        )
        _note(run, step, state)
        run.save(state.parameters, state.progress)
        log.write("saved", step=type(step).__name__, steps_done=_steps_done(state.progress))
    write_parameters(run.path / "model.safetensors", state.parameters, {"study": study.hash()})
    log.write("finished", model=content_hash(state.parameters))
    return state


def _first_state(run: RunFolder, study: Study) -> FederationState:
    saved = run.load()
    if not run.facts.home:
        run.rewind_ledger()
    elif len(run.ledger):  # signed records are never taken back
        run.ledger.append("resumed", steps=_steps_done(saved[1]) if saved else 0)
    if saved is not None:
        return FederationState(*saved)
    initial = to_arrays(segmenter_of(study))
    run.ledger.append("initial", study=study.hash(), model=content_hash(initial))
    return FederationState(initial, Progress())


def _steps_done(progress: Progress) -> int:
    described, held_out = bool(progress.sites), bool(progress.final)
    parts = (progress.hints, progress.rounds, progress.validations)
    return described + held_out + sum(len(part) for part in parts)


def _note(run: RunFolder, step: Step, state: FederationState) -> None:
    """Write into the ledger what this step took in and what came of it."""
    if isinstance(step, TrainRound):
        _note_round(run, state.progress.rounds[-1], state.parameters)
    else:
        run.ledger.append(type(step).__name__, **_counts(state.progress))


def _note_round(run: RunFolder, summary: RoundSummary, parameters: Parameters) -> None:
    for site, figures in summary.trained.items():
        run.ledger.append(
            "admitted",
            site=site,
            generation=summary.generation,
            round=summary.round_number,
            cases=figures.case_count,
            **({"late": summary.late[site]} if site in summary.late else {}),
        )
    for site, reason in summary.missing.items():
        run.ledger.append("missing", site=site, round=summary.round_number, reason=reason)
    run.ledger.append("averaged", round=summary.round_number, model=content_hash(parameters))


def _counts(progress: Progress) -> Mapping[str, int]:
    return {"rounds": len(progress.rounds), "generations": len(progress.validations)}
