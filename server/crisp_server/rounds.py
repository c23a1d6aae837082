"""One round: plans out, updates in, one average."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from crisp_core.arrays import Parameters
from crisp_core.errors import HintsMissingError, QuorumError, UpdateRefusedError
from crisp_core.files.checkpoint import content_hash
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import HintPlan, TrainFigures, TrainPlan
from crisp_core.schema.record import Action
from crisp_core.schema.study import Study
from crisp_core.schema.summary import RoundSummary
from crisp_server.admission import Change, admit, change, compare
from crisp_server.aggregation import next_model, personal_norms
from crisp_server.control import Sent, common_of, renewed
from crisp_server.own import own_arrays_of
from crisp_server.remarks import remarks_on
from crisp_server.sites import SiteReply, Sites
from crisp_server.steps import TrainRound
from crisp_server.store import RunFolder

NO_ANSWER = "no answer in time"
STALENESS_POWER = 0.5
"""a of (1 + staleness)^-a: Xie et al., "Asynchronous Federated Optimization", 2019, polynomial."""


@dataclass(frozen=True)
class RoundResult:
    """The averaged model and who made it."""

    parameters: Parameters
    summary: RoundSummary
    memory: Parameters
    """What the aggregation rule keeps for its next round."""
    notes: tuple[str, ...]
    """What a reader must know of how the rule worked."""
    personal: Parameters = field(default_factory=dict)
    """Each source's own normalisation, where a held-out site will need them one by one."""


def train_round(
    study: Study,
    step: TrainRound,
    parameters: Parameters,
    earlier_models: Sequence[str],
    sites: Sites,
    run: RunFolder,
) -> RoundResult:
    """Train one round at every source and make the next model of what is admitted.

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

    Source:
        Late updates: Xie et al., "Asynchronous Federated Optimization", arXiv 1903.03934.
    """
    taken = _Taken(study, step, parameters, run)
    plans = _plans(study, step, earlier_models, run)
    memory = run.aggregation_memory()
    common = common_of(study, parameters, memory)
    for reply in RemindedSites(sites, run).ask("train", plans, {**parameters, **common}):
        taken.take_in(reply)
    taken.compare()
    _insist_on_quorum(study, step, taken)
    names = sorted(taken.trained)
    weights = {site: taken.weight(site) for site in names}
    outcome = next_model(study, parameters, memory, weights, run)
    control = renewed(study, step, Sent(parameters, common), weights, run)
    personal = personal_norms(study, step.round_number, names, run)
    taken.close()
    summary = RoundSummary(
        generation=step.generation,
        round_number=step.round_number,
        trained={site: taken.trained[site] for site in names},
        missing=taken.missing,
        late=taken.late,
        agreement=dict(taken.agreement),
        sent=content_hash(parameters) if study.keeps_own else "",
    )
    notes = (*outcome.notes, *remarks_on(study))
    return RoundResult(outcome.parameters, summary, outcome.memory | control, notes, personal)


def _plans(
    study: Study, step: TrainRound, earlier_models: Sequence[str], run: RunFolder
) -> dict[str, TrainPlan]:
    plan = TrainPlan(
        generation=step.generation,
        round_number=step.round_number,
        first_step=step.first_step,
        steps=step.steps,
        models=tuple(earlier_models),
    )
    rounds = run.progress().rounds if study.keeps_own else ()
    return {
        site: plan.model_copy(update={"own": own_arrays_of(study, site, rounds, step.generation)})
        for site in study.sources
    }


class _Taken:
    """What came in a round so far: on disk the updates, here all that is known of them."""

    def __init__(
        self, study: Study, step: TrainRound, parameters: Parameters, run: RunFolder
    ) -> None:
        self._study, self._step, self._sent, self._run = study, step, parameters, run
        self.trained: dict[str, TrainFigures] = {}
        self.late: dict[str, int] = {}
        self.unlike: tuple[str, ...] = ()
        self.agreement: Mapping[str, float] = {}
        self.missing = dict.fromkeys(study.sources, NO_ANSWER)

    def take_in(self, reply: SiteReply) -> None:
        """Admit and spool one update, or note why it does not count."""
        outcome = self._figures(reply)
        if isinstance(outcome, str):
            self.missing[reply.site] = outcome
            return
        self.trained[reply.site] = outcome
        del self.missing[reply.site]
        if reply.staleness:
            self.late[reply.site] = reply.staleness

    def _figures(self, reply: SiteReply) -> TrainFigures | str:
        if reply.fault is not None:
            return f"{reply.fault.code}: {reply.fault.sentence}"
        try:
            figures = TrainFigures.model_validate_json(reply.figures)
            update = admit(reply.site, reply.parameters or {}, self._sent)
        except ValidationError:
            return "refused: its figures are not those of a trained round"
        except UpdateRefusedError as error:
            return str(error)
        self._run.spool(reply.site, update)
        return figures

    def compare(self) -> None:
        """Refuse what is unlike the others of this round."""
        if self._study.federation.admission == "finite":
            return
        before = latest_agreement(self._run.progress().rounds)
        compared = compare(sorted(self.trained), self._change_of, before)
        for site in compared.refused:
            del self.trained[site]
            self.late.pop(site, None)
        self.missing |= compared.refused
        self.unlike, self.agreement = tuple(compared.refused), compared.agreement

    def _change_of(self, site: str) -> Change:
        """Begin a site's change, from the model that it was sent."""
        asked_in = self._step.round_number - self.late.get(site, 0)
        sent = self._run.spooled(_base(asked_in)) if site in self.late else self._sent
        return change(self._run.spooled(site), sent)

    def weight(self, site: str) -> float:
        """Return how much a site's update counts: its cases, less the later it comes."""
        staleness = self.late.get(site, 0)
        return self.trained[site].case_count * math.pow(1 + staleness, -STALENESS_POWER)

    def close(self) -> None:
        """Forget the updates; keep what was sent if an update of it may still come."""
        self._run.clear_spool()
        if self._study.federation.late == "next-round" and NO_ANSWER in self.missing.values():
            self._run.spool(_base(self._step.round_number), self._sent)


def _base(round_number: int) -> str:
    return f"_sent-{round_number}"  # no site's name begins so


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
        if forgetful:
            self._remind(forgetful)
            yield from self._sites.ask(action, forgetful, parameters)

    def _remind(self, plans: Mapping[str, Frozen | None]) -> None:
        """Let sites make again the hints that a plan needs, each with the model it belongs to."""
        (first, *_) = plans.values()  # of one generation, for all sites of a step
        rounds = self._run.progress().rounds
        for models in _models_of_hints(first):
            plan = HintPlan(generation=len(models) + 1, models=models)
            again = {site: self._with_own(plan, site, rounds) for site in plans}
            for _ in self._sites.ask("hints", again, self._run.model(models[-1])):
                continue  # a site that fails here fails when asked again, with its reason

    def _with_own(self, plan: HintPlan, site: str, rounds: Sequence[RoundSummary]) -> HintPlan:
        own = own_arrays_of(self._run.study, site, rounds, plan.generation - 1)
        return plan.model_copy(update={"own": own})


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


def latest_agreement(rounds: Sequence[RoundSummary]) -> dict[str, float]:
    """Return each site's agreement with the others in the last round in which it counted."""
    return {site: own for one in rounds for site, own in one.agreement.items()}


def _insist_on_quorum(study: Study, step: TrainRound, taken: _Taken) -> None:
    if len(taken.trained) >= study.quorum:
        return
    reasons = "; ".join(f"{site}: {reason}" for site, reason in taken.missing.items())
    fix = "The model of the round before is kept: mend the sites, then `crisp resume`"
    if taken.unlike:
        fix = (
            f"Look at the images and masks of {' and '.join(taken.unlike)}. If they are as they "
            'should be, start anew with federation.admission = "finite" or without the site; if '
            "not, mend them, then `crisp resume`"
        )
    raise QuorumError(
        expected=f"{study.quorum} updates",
        got=f"{len(taken.trained)}",
        where=f"round {step.round_number}; {reasons}".rstrip("."),
        fix=fix,
    )
