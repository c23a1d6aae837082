"""The ServerApp, and the Sites protocol spoken over a Flower Grid."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from crisp_core.arrays import Parameters
from crisp_core.errors import CrispError, SiteFailedError
from crisp_core.schema import wire
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import SiteDescription, SiteFault
from crisp_core.schema.study import Study
from crisp_server.conduct import conduct
from crisp_server.events import EventLog
from crisp_server.sites import Action, SiteReply
from crisp_server.store import RunFolder

POLL_S = 0.2
SLOWEST_POLL_S = 3.0
CONNECT_TIMEOUT_S = 120.0

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Conduct the run whose folder the run config names."""
    run = RunFolder.open(Path(str(context.run_config["run"])))
    with run.locked():
        try:
            conduct(run, GridSites(grid, run.study))
        except CrispError as error:
            log = EventLog(run.path / "events.jsonl")
            log.write("failed", sentence=str(error), exit_code=error.exit_code)
            raise


class GridSites:
    """Sites behind a Grid: Flower's own, or the in-process one."""

    def __init__(self, grid: Grid, study: Study) -> None:
        self._grid, self._study = grid, study

    @cached_property
    def _descriptions(self) -> dict[int, SiteReply]:
        return self._discover()

    @cached_property
    def _nodes(self) -> dict[str, int]:
        return {reply.site: node for node, reply in self._descriptions.items()}

    def ask(
        self, action: Action, plans: Mapping[str, Frozen | None], parameters: Parameters | None
    ) -> Iterator[SiteReply]:
        """Send each site its plan and yield replies as they arrive; see `Sites.ask`."""
        if action == "describe":
            yield from (self._descriptions[self._nodes[site]] for site in plans)
            return
        arrays = _record(parameters or {})
        texts = {
            self._nodes[site]: plan.model_dump_json() if plan else ""
            for site, plan in plans.items()
        }
        names = {node: site for site, node in self._nodes.items()}
        for node, message in self._exchange(action, texts, arrays):
            yield _reply(message, names[node])

    def _discover(self) -> dict[int, SiteReply]:
        """Wait until every site of the study has said who it is; node -> its description."""
        deadline = time.monotonic() + min(CONNECT_TIMEOUT_S, self._study.federation.timeout_s)
        found: dict[int, SiteReply] = {}
        while True:
            new = [node for node in self._grid.get_node_ids() if node not in found]
            for node, message in self._exchange("describe", dict.fromkeys(new, ""), _record({})):
                found[node] = _named(_reply(message, f"node {node}"))
            missing = set(self._study.sites) - {reply.site for reply in found.values()}
            if not missing:
                return {n: reply for n, reply in found.items() if reply.site in self._study.sites}
            if time.monotonic() > deadline:
                raise SiteFailedError(
                    expected="every site of the study online",
                    got=f"no sign of {', '.join(sorted(missing))}",
                    where=f"{len(found)} of {len(self._study.sites)} answered",
                    fix="Start the missing sites, then `crisp resume`",
                )
            time.sleep(POLL_S)

    def _exchange(
        self, action: Action, texts: Mapping[int, str], arrays: ArrayRecord
    ) -> Iterator[tuple[int, Message]]:
        """Push one message a node and yield (node, reply) as replies arrive, until the deadline.

        One reply is pulled at a time, so that memory holds one update. Replies are matched by the
        message they answer: an error made on the way carries no node.
        """
        messages = [self._message(action, node, text, arrays) for node, text in texts.items()]
        waiting = dict(zip(self._grid.push_messages(messages), texts, strict=True))
        deadline = time.monotonic() + self._study.federation.timeout_s
        pause = POLL_S
        while waiting and time.monotonic() < deadline:
            before = len(waiting)
            for message_id in list(waiting):
                for reply in self._grid.pull_messages([message_id]):
                    yield waiting.pop(message_id), reply
            if len(waiting) == before:
                time.sleep(pause)
                pause = min(2 * pause, SLOWEST_POLL_S)

    def _message(self, action: Action, node: int, plan: str, arrays: ArrayRecord) -> Message:
        config = ConfigRecord(
            {
                wire.PROTOCOL_KEY: wire.PROTOCOL,
                wire.STUDY_KEY: self._study.canonical(),
                wire.PLAN_KEY: plan,
            }
        )
        return Message(
            RecordDict({wire.ARRAYS: arrays, wire.CONFIG: config}),
            dst_node_id=node,
            message_type=wire.MESSAGE_TYPES[action],
        )


def _record(parameters: Parameters) -> ArrayRecord:
    return ArrayRecord({name: Array(array) for name, array in parameters.items()})


def _reply(message: Message, site: str) -> SiteReply:
    """Read a reply; what Flower itself reports becomes a fault like any other."""
    if message.has_error():
        fault = SiteFault(code=f"flower-{message.error.code}", sentence="The site did not finish")
        return SiteReply(site, fault=fault)
    config = message.content.config_records[wire.CONFIG]
    fault_text, figures = str(config[wire.FAULT_KEY]), str(config[wire.FIGURES_KEY])
    if fault_text:
        return SiteReply(site, fault=SiteFault.model_validate_json(fault_text))
    arrays = message.content.array_records[wire.ARRAYS]
    return SiteReply(site, figures, {name: array.numpy() for name, array in arrays.items()})


def _named(reply: SiteReply) -> SiteReply:
    """Give a description the name that the site says; a fault at this point ends the run."""
    if reply.fault is not None:
        raise SiteFailedError(
            expected="a description",
            got=f"{reply.fault.code}: {reply.fault.sentence}".rstrip("."),
            where=f"site behind {reply.site}",
            fix="Mend it at the site, then `crisp resume`",
        )
    site = SiteDescription.model_validate_json(reply.figures).site
    return SiteReply(site, reply.figures)
