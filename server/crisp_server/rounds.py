"""One round: plans out, updates in, one average."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from crisp_core.arrays import Parameters
from crisp_core.errors import HintsMissingError, QuorumError, UpdateRefusedError
from crisp_core.numerics.average import weighted_mean
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import HintPlan, TrainFigures, TrainPlan
from crisp_core.schema.study import Study
from crisp_core.schema.summary import RoundSummary
from crisp_server.admission import admit
from crisp_server.sites import Action, SiteReply, Sites
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
    plans = dict.fromkeys(study.sources, plan)
    for reply in RemindedSites(sites, run).ask("train", plans, parameters):
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


class RemindedSites:
    """Sites of which each that has lost its hints makes them first and is then asked again."""

    def __init__(self, sites: Sites, run: RunFolder) -> None:
        self._sites, self._run = sites, run

    def ask(
        self,
        action: Action,
        plans: Mapping[str, Frozen | None],
        parameters: Parameters | None,
    ) -> Iterator[SiteReply]:
        """Yield one reply a site; see `Sites.ask`."""
        forgetful: dict[str, Frozen | None] = {}
        for reply in self._sites.ask(action, plans, parameters):
            if reply.fault is not None and reply.fault.code == HintsMissingError.code:
                forgetful[reply.site] = plans[reply.site]
            else:
                yield reply
        for site, plan in forgetful.items():
            self._remind(site, plan)
        if forgetful:
            yield from self._sites.ask(action, forgetful, parameters)

    def _remind(self, site: str, plan: Frozen | None) -> None:
        """Let a site make again the hints that `plan` needs, each with the model it belongs to."""
        for models in _models_of_hints(plan):
            again = {site: HintPlan(generation=len(models) + 1, models=models)}
            for _ in self._sites.ask("hints", again, self._run.model(models[-1])):
                continue  # a site that fails here fails when asked again, with its reason


def _models_of_hints(plan: Frozen | None) -> Iterator[tuple[str, ...]]:
    """Yield M(1) … M(j - 1) for each H(j) that a site needs in order to follow a plan."""
    match plan:
        case TrainPlan(models=models):
            needed = len(models)
        case HintPlan(models=models):
            needed = len(models) - 1  # the last makes the new hints
        case _:
            return
    for count in range(1, needed + 1):
        yield models[:count]


def _take_in(reply: SiteReply, sent: Parameters, run: RunFolder) -> TrainFigures | str:
    """Admit and spool one update; otherwise the reason why it does not count."""
    if reply.fault is not None:
        return f"{reply.fault.code}: {reply.fault.sentence}"
    try:
        figures = TrainFigures.model_validate_json(reply.figures)
        update = admit(reply.site, reply.parameters or {}, sent)
    except ValidationError:
        return "refused: its figures are not those of a trained round"
    except UpdateRefusedError as error:
        return str(error)
    run.spool(reply.site, update)
    return figures


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
