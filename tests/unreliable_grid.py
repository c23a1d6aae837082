"""Hospitals with keys behind a Grid in memory that loses, delays, repeats and forges messages."""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from federation_samples import description, trained
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from crisp_core.files.checkpoint import content_hash, unpacked
from crisp_core.schema import wire
from crisp_core.schema.manifest import RunFacts
from crisp_core.schema.methods import with_preset
from crisp_core.schema.record import RoundRecord
from crisp_core.schema.study import Study
from crisp_core.trust.keys import load_signing_key, make_signing_key
from crisp_core.trust.signature import sign
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster, RosterEntry
from crisp_server.store import RunFolder

ACTIONS = {kind: action for action, kind in wire.MESSAGE_TYPES.items()}
NEVER = float("inf")


def grid_study(sources: Iterable[str] = ("east", "north", "west"), **federation: Any) -> Study:
    """Sources by name and one held-out site, south."""
    roles = {**dict.fromkeys(sources, "source"), "south": "held-out"}
    raw = {
        "name": "tiny",
        "classes": ["LV"],
        "sites": {site: {"role": role} for site, role in roles.items()},
        "training": {"steps": 12},
        "federation": {"rounds": 2, "timeout_s": 1.5, **federation},
        "crisp": {"generations": 2},
    }
    return Study.model_validate_json(json.dumps(with_preset(raw)))


@dataclass
class Hospital:
    """Answers at once, with one weight moved halfway to its own centre, and signs what it says."""

    name: str
    key: Any
    centre: float = 0.0
    asked: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)
    """What it answers to an action, where not the usual."""
    faults: list[str] = field(default_factory=list)
    """Codes of the faults that it answers with first, used up one by one."""
    tamper: Callable[[RecordDict], None] = lambda _: None

    def answer(self, message: Message) -> Message:
        config = message.content.config_records[wire.CONFIG]
        action = ACTIONS[message.metadata.message_type]
        self.asked.append({**config, "action": action})
        sent = {n: a.numpy() for n, a in message.content.array_records[wire.ARRAYS].items()}
        if wire.PACKED in sent:
            sent = unpacked(sent[wire.PACKED].tobytes())
        fault = self.faults.pop(0) if self.faults else ""
        arrays, figures = self._work(action, sent) if not fault else ({}, "")
        record = RoundRecord(
            study=_sha256(str(config[wire.STUDY_KEY])),
            site=self.name,
            action=action,
            ask=str(config[wire.ASK_KEY]),
            plan=_sha256(str(config[wire.PLAN_KEY])),
            received=content_hash(sent) if sent else "",
            returned=content_hash(arrays) if arrays else "",
            figures=_sha256(figures),
            fault=fault,
        )
        content = self._content(arrays, figures, record)
        self.tamper(content)
        return Message(content, reply_to=message)

    def _work(self, action: str, sent: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        if action == "train":
            moved = {
                n: ((a + np.float32(self.centre)) / 2).astype(a.dtype) for n, a in sent.items()
            }
            return moved, trained(10).model_dump_json()
        return {}, self.figures.get(action, description(self.name).model_dump_json())

    def _content(self, arrays: Mapping[str, Any], figures: str, record: RoundRecord) -> RecordDict:
        config = {
            wire.SITE_KEY: self.name,
            wire.FIGURES_KEY: figures,
            wire.FAULT_KEY: json.dumps({"code": record.fault, "sentence": "none"})
            if record.fault
            else "",
            wire.RECORD_KEY: record.text(),
            wire.RECORD_SIGNATURE_KEY: sign(self.key, "record", record.text()),
        }
        return RecordDict(
            {
                wire.ARRAYS: ArrayRecord({name: Array(array) for name, array in arrays.items()}),
                wire.CONFIG: ConfigRecord(config),
            }
        )


@dataclass(frozen=True)
class Fate:
    """What becomes of one message: answered after a while, or an error of Flower's instead."""

    after_s: float = 0.0
    error: int = 0
    gone_s: float = 0.0
    """With an error: how long the node is then offline."""
    holds_s: float = 0.0
    """How long whoever pulls the answer waits for its parts."""


class UnreliableGrid(Grid):
    """Nodes by registered name. `fates` are used up, message by message; then all goes well."""

    def __init__(self, hospitals: Mapping[str, Hospital]) -> None:
        self.hospitals = hospitals
        self.nodes = {name: 100 + number for number, name in enumerate(hospitals)}
        self.offline_until: dict[str, float] = defaultdict(float)
        self.fates: dict[str, list[Fate]] = defaultdict(list)
        self.sent: list[tuple[str, str]] = []
        self.ttls: list[float] = []
        self._waiting: dict[str, tuple[float, Message, float]] = {}
        self.set_run(Run.create_empty(run_id=1))

    def set_run(self, run: Run) -> None:
        self._run = run
        TaskIdentity.run_id, TaskIdentity.task_id = run.run_id, 1
        TaskIdentity.node_id = SUPERLINK_NODE_ID

    @property
    def run(self) -> Run:
        return self._run

    def create_message(
        self, content, message_type, dst_node_id, group_id, ttl=None
    ) -> Message:  # pragma: no cover - deprecated by Flower, abstract nevertheless
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def lose(self, site: str, seconds: float = NEVER) -> None:
        """Take a node offline."""
        self.offline_until[site] = time.monotonic() + seconds

    def _is_online(self, site: str) -> bool:
        return time.monotonic() >= self.offline_until[site]

    def get_node_ids(self) -> list[int]:
        return [node.node_id for node in self.get_nodes()]

    def get_nodes(self) -> list[NodeInfo]:
        return [
            NodeInfo(node_id=node, name=name)
            for name, node in self.nodes.items()
            if self._is_online(name)
        ]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        return [self._push(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterator[Message]:
        for message_id in list(message_ids):
            ready_at, reply, holds_s = self._waiting.get(message_id, (NEVER, None, 0.0))
            if reply is not None and time.monotonic() >= ready_at:
                del self._waiting[message_id]
                time.sleep(holds_s)
                yield reply

    def send_and_receive(self, messages, *, timeout=None) -> list[Message]:
        del timeout
        return list(self.pull_messages(self.push_messages(messages)))

    def _push(self, message: Message) -> str:
        site = next(n for n, i in self.nodes.items() if i == message.metadata.dst_node_id)
        message_id = f"m{len(self.sent)}"
        message.metadata.__dict__["_message_id"] = message_id
        self.sent.append((site, ACTIONS[message.metadata.message_type]))
        self.ttls.append(message.metadata.ttl)
        fate = self.fates[site].pop(0) if self.fates[site] else Fate()
        if fate.error:
            self.lose(site, fate.gone_s)
            reply = Message(Error(fate.error, "as Flower says it"), reply_to=message)
            reply.metadata.__dict__["_src_node_id"] = SUPERLINK_NODE_ID
        else:
            reply = self.hospitals[site].answer(message)
        self._waiting[message_id] = (time.monotonic() + fate.after_s, reply, fate.holds_s)
        return message_id


@dataclass(frozen=True)
class Deployment:
    """A coordinator's home, a run in it, and its hospitals."""

    home: CoordinatorHome
    run: RunFolder
    grid: UnreliableGrid


def deployment(folder: Path, study: Study) -> Deployment:
    """Give every site of a study a key, a place in the roster and a node."""
    home = CoordinatorHome(folder / "home")
    make_signing_key(home.signing_key)
    hospitals, entries = {}, []
    for number, name in enumerate(study.sites):
        public = make_signing_key(folder / "keys" / f"{name}.pem")
        key = load_signing_key(folder / "keys" / f"{name}.pem")
        hospitals[name] = Hospital(name, key, centre=float(number))
        entries.append(RosterEntry(site=name, state="admitted", signing_key=public))
    Roster(entries=tuple(entries)).save(home.roster)
    facts = RunFacts(engine="flower", started="", versions={}, commands=(), home=str(home.path))
    run = RunFolder.create(home.runs / "one", study, facts)
    return Deployment(home, run, UnreliableGrid(hospitals))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
