"""Sites behind a Grid: hospitals by their registered names, simulated ones by their own word."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from flwr.serverapp import Grid
from pydantic import ValidationError

from crisp_core.arrays import Parameters
from crisp_core.errors import SiteFailedError
from crisp_core.files.checkpoint import content_hash
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import SiteDescription, TrainPlan
from crisp_core.schema.record import Action
from crisp_server.countersign import Notary, Question, untrusted
from crisp_server.events import EventLog
from crisp_server.flower.exchange import POLL_S, Asked, Exchange, Step
from crisp_server.flower.messages import array_record
from crisp_server.sites import SiteReply
from crisp_server.store import RunFolder

TTL_MARGIN_S = 60.0


class GridSites:
    """Sites behind a Grid: Flower's own, or the in-process one.

    A hospital is the name that its node key was registered under; nothing that it says about
    itself changes that. Simulated sites have no keys and are asked for their names once.
    """

    def __init__(self, grid: Grid, run: RunFolder) -> None:
        self._grid, self._study = grid, run.study
        self._notary = Notary(run)
        self._log = EventLog(run.path / "events.jsonl")
        self._late: dict[str, Asked] = {}
        self._simulated: dict[str, int] = {}
        self._descriptions: dict[str, SiteReply] = {}

    def ask(
        self, action: Action, plans: Mapping[str, Frozen | None], parameters: Parameters | None
    ) -> Iterator[SiteReply]:
        """Send each site its plan and yield replies as they arrive; see `Sites.ask`."""
        if not self._notary.signs and not self._simulated:
            self._discover()
        if not self._notary.signs and action == "describe":
            yield from (self._descriptions[site] for site in plans)
            return
        late = self._stragglers(plans) if action == "train" else {}
        exchange = self._exchange(action, parameters or {}, len(plans), self._places)
        texts = {site: plan.model_dump_json() if plan else "" for site, plan in plans.items()}
        for question, reply in exchange.replies(texts, late):
            yield self._checked(reply, question, plans[question.site])
        if action == "train" and self._study.federation.late == "next-round":
            new = {site: asked for site, asked in exchange.asked.items() if asked != late.get(site)}
            self._late |= new

    def _exchange(
        self,
        action: Action,
        parameters: Parameters,
        site_count: int,
        places: Callable[[], Mapping[str, int]],
    ) -> Exchange:
        timeout_s, trains = self._study.federation.timeout_s, action == "train"
        lives_s = 2 * timeout_s if self._study.federation.late == "next-round" else timeout_s
        step = Step(
            action=action,
            arrays=array_record(parameters, pack=self._notary.signs),
            received=content_hash(parameters) if parameters else "",
            sent=parameters if trains else None,
            needed=min(self._study.quorum, site_count) if trains else site_count,
            timeout_s=timeout_s,
            ttl_s=TTL_MARGIN_S + (lives_s if trains else timeout_s),
        )
        return Exchange(
            self._grid,
            self._notary,
            step,
            places,
            lambda sites: self._log.write("absent", action=action, sites=sites),
        )

    def _places(self) -> Mapping[str, int]:
        """Look up anew who is online; site -> node."""
        if not self._notary.signs:
            return self._simulated
        return {node.name: node.node_id for node in self._grid.get_nodes()}

    def _stragglers(self, plans: Mapping[str, Frozen | None]) -> dict[str, Asked]:
        """Return, and forget, the questions of this generation that sites are still at work on."""
        late = {site: self._late.pop(site) for site in plans if site in self._late}
        return {
            site: asked
            for site, asked in late.items()
            if _behind(asked.question, plans[site]) is not None
        }

    def _checked(self, reply: SiteReply, question: Question, plan: Frozen | None) -> SiteReply:
        """Say how late an update is, and refuse a description in another site's name."""
        if (
            question.action == "describe"
            and reply.fault is None
            and _said_name(reply) != reply.site
        ):
            return untrusted(reply.site, "it describes itself under another name than its key's")
        return replace(reply, staleness=_behind(question, plan) or 0)

    def _discover(self) -> None:
        """Ask simulated nodes who they are, until every site of the study has answered."""
        deadline = time.monotonic() + self._study.federation.timeout_s
        known: set[int] = set()
        while missing := sorted(set(self._study.sites) - set(self._simulated)):
            if time.monotonic() > deadline:
                raise _silent(missing)
            new = sorted(set(self._grid.get_node_ids()) - known)
            for node in new:
                self._meet(node)
            known.update(new)
            if not new:
                time.sleep(POLL_S)

    def _meet(self, node: int) -> None:
        exchange = self._exchange("describe", {}, 1, lambda: {"": node})
        for _, reply in exchange.replies({"": ""}, {}):
            if reply.fault is not None:
                raise _faulty(reply.site, f"{reply.fault.code}: {reply.fault.sentence}")
            self._simulated[reply.site], self._descriptions[reply.site] = node, reply


def _behind(question: Question, plan: Frozen | None) -> int | None:
    """Count the rounds from a question to a plan of the same generation; None for any other."""
    if question.action != "train" or not isinstance(plan, TrainPlan):
        return None
    asked = TrainPlan.model_validate_json(question.plan)
    same = asked.generation == plan.generation
    return plan.round_number - asked.round_number if same else None


def _said_name(reply: SiteReply) -> str:
    try:
        return SiteDescription.model_validate_json(reply.figures).site
    except ValidationError:
        return reply.site  # whoever needs the figures says that they cannot be read


def _silent(missing: list[str]) -> SiteFailedError:
    return SiteFailedError(
        expected="every site of the study online",
        got=f"no sign of {', '.join(missing)}",
        where="describing the sites",
        fix="Start the missing sites, then `crisp resume`",
    )


def _faulty(site: str, got: str) -> SiteFailedError:
    return SiteFailedError(
        expected="a description",
        got=got.rstrip("."),
        where=f"site {site!r}",
        fix="Mend it at the site, then `crisp resume`",
    )
