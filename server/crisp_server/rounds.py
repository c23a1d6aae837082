"""One round: plans out, updates in, one average."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crisp_core.arrays import Parameters
from crisp_core.errors import HintsMissingError, QuorumError, UpdateRefusedError
from crisp_core.numerics.average import weighted_mean
from crisp_core.schema.messages import HintPlan, TrainFigures, TrainPlan
from crisp_core.schema.study import Study
from crisp_core.schema.summary import RoundSummary
from crisp_server.admission import admit
from crisp_server.sites import SiteReply, Sites
from crisp_server.steps import TrainRound
from crisp_server.store import RunFolder


@dataclass(frozen=True)
class RoundResult:
    """The averaged model and who made it."""

    parameters: Parameters
    summary: RoundSummary


def train_round(
    study: Study,
    step: TrainRound,
    parameters: Parameters,
    earlier_models: Sequence[str],
    sites: Sites,
    run: RunFolder,
) -> RoundResult:
    """Train one round at every source and average what is admitted, weighted by case count.

    Each update goes to disk as it arrives and is read back one at a time in the order of the site
    names: memory holds one update, and the order of arrival cannot move a bit.

    Args:
        study: The study.
        step: The round.
        parameters: What every source starts from.
        earlier_models: Content hashes of M(1), M(2), … for a site that must make its hints again.
        sites: Who is asked.
        run: Where updates wait for the average.

    Raises:
        QuorumError: If fewer updates are admitted than the study's quorum.
    """
    trained: dict[str, TrainFigures] = {}
    missing = dict.fromkeys(study.sources, "no answer in time")
    plan = TrainPlan(
        generation=step.generation,
        round_number=step.round_number,
        first_step=step.first_step,
        steps=step.steps,
        models=tuple(earlier_models),
    )
    for reply in _updates(study.sources, plan, parameters, earlier_models, sites, run):
        outcome = _take_in(reply, parameters, run)
        if isinstance(outcome, TrainFigures):
            trained[reply.site] = outcome
            missing.pop(reply.site)
        else:
            missing[reply.site] = outcome
    _insist_on_quorum(study, step, trained, missing)
    names = sorted(trained)
    mean = weighted_mean(
        (run.spooled(site) for site in names), [trained[site].case_count for site in names]
    )
    run.clear_spool()
    summary = RoundSummary(
        generation=step.generation,
        round_number=step.round_number,
        trained={site: trained[site] for site in names},
        missing=missing,
    )
    return RoundResult(mean, summary)


def _updates(
    names: Sequence[str],
    plan: TrainPlan,
    parameters: Parameters,
    earlier_models: Sequence[str],
    sites: Sites,
    run: RunFolder,
) -> Iterator[SiteReply]:
    """Yield one reply a site; a site without its hints makes them first and is asked again."""
    without_hints: list[str] = []
    for reply in sites.ask("train", dict.fromkeys(names, plan), parameters):
        if reply.fault is not None and reply.fault.code == HintsMissingError.code:
            without_hints.append(reply.site)
        else:
            yield reply
    if without_hints:
        _catch_up(without_hints, plan.generation, earlier_models, sites, run)
        yield from sites.ask("train", dict.fromkeys(without_hints, plan), parameters)


def _catch_up(
    names: Sequence[str],
    generation: int,
    earlier_models: Sequence[str],
    sites: Sites,
    run: RunFolder,
) -> None:
    """Let these sites make every generation of hints again, each with the model it belongs to."""
    for earlier in range(2, generation + 1):
        plan = HintPlan(generation=earlier, models=tuple(earlier_models[: earlier - 1]))
        for _ in sites.ask("hints", dict.fromkeys(names, plan), run.model(plan.models[-1])):
            continue  # a site that fails here fails the round's second question, with its reason


def _take_in(reply: SiteReply, sent: Parameters, run: RunFolder) -> TrainFigures | str:
    """Admit and spool one update; otherwise the reason why it does not count."""
    if reply.fault is not None:
        return f"{reply.fault.code}: {reply.fault.sentence}"
    try:
        update = admit(reply.site, reply.parameters or {}, sent)
    except UpdateRefusedError as error:
        return str(error)
    run.spool(reply.site, update)
    return TrainFigures.model_validate_json(reply.figures)


def _insist_on_quorum(
    study: Study, step: TrainRound, trained: dict[str, TrainFigures], missing: dict[str, str]
) -> None:
    if len(trained) >= study.quorum:
        return
    reasons = "; ".join(f"{site}: {reason}" for site, reason in missing.items())
    raise QuorumError(
        expected=f"{study.quorum} updates",
        got=f"{len(trained)}",
        where=f"round {step.round_number}; {reasons}".rstrip("."),
        fix="The model of the round before is kept: mend the sites, then `crisp resume`",
    )
