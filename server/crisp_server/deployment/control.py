"""What is said to the SuperLink: register a key, start, look at and stop a run.

Flower's own client of its Control API, in this process: `flwr` would take a second or more of a
core for each question. It trusts our own authority and nobody else, so that a SuperLink of another
federation, or none of ours, is never told anything.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.cli.build import build_fab_from_disk
from flwr.cli.cli_client_interceptor import CliClientHttpInterceptor
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors.http import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from crisp_core.errors import ConnectionFailedError, RunStateError, UntrustedError
from crisp_core.trust.certificates import read_certificate
from crisp_server.deployment.settings import load_settings
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster

_GONE = "unregistered"
_FINISHED = "finished"


@dataclass(frozen=True)
class Node:
    """A hospital's node as the SuperLink knows it."""

    node_id: int
    name: str
    key: bytes
    """Public key, PEM as Flower writes it."""
    status: str
    """`registered` (never seen), `online`, `offline` or `unregistered` (for good)."""


@dataclass(frozen=True)
class FlowerRun:
    """How a run stands for Flower."""

    run_id: int
    status: str
    """`pending`, `starting`, `running` or `finished`."""
    ending: str
    """`completed`, `failed` or `stopped`, once it is finished."""
    details: str


class Control:
    """An open connection to the SuperLink of one home."""

    def __init__(self, client: ControlHttpClient) -> None:
        self._client = client

    def nodes(self) -> tuple[Node, ...]:
        """Return every node that was ever registered."""
        with _understood():
            found = self._client.ListNodes(ListNodesRequest()).nodes_info
        return tuple(Node(n.node_id, n.name, n.public_key, n.status) for n in found)

    def agree(self, roster: Roster) -> dict[str, int]:
        """Register every admitted site's key and unregister every other; site -> node id.

        Doing it again changes nothing. A key that was unregistered stays so: Flower never takes
        it back, and it has no number here.
        """
        wanted = {node_key(entry.node_key): entry.site for entry in roster.in_state("admitted")}
        nodes = self.nodes()
        for node in nodes:
            if wanted.get(node.key) != node.name and node.status != _GONE:
                with _understood():
                    self._client.UnregisterNode(UnregisterNodeRequest(node_id=node.node_id))
        known = {node.key: node.node_id for node in nodes if node.key in wanted}
        for key, site in wanted.items():
            if key not in known:
                question = RegisterNodeRequest(public_key=key, name=site)
                with _understood():
                    known[key] = self._client.RegisterNode(question).node_id
        return {site: known[key] for key, site in wanted.items()}

    def start(self, run_folder: Path) -> int:
        """Submit the app that is a manifest, for the run in this folder; return Flower's number."""
        bundle = app_bundle()
        question = StartRunRequest(
            fab=fab_to_proto(Fab(app_hash(), bundle, {})),
            override_config=user_config_to_proto({"run": str(run_folder.resolve())}),
        )
        with _understood():
            return int(self._client.StartRun(question).run_id)

    def run(self, run_id: int) -> FlowerRun | None:
        """Return how this run stands, None if the SuperLink does not know it."""
        return next((run for run in self.runs() if run.run_id == run_id), None)

    def runs(self) -> tuple[FlowerRun, ...]:
        """Return the latest runs, newest first."""
        with _understood():
            found = self._client.ListRuns(ListRunsRequest()).run_dict
        runs = sorted(found.values(), key=lambda run: run.pending_at, reverse=True)
        return tuple(
            FlowerRun(run.run_id, run.status.status, run.status.sub_status, run.status.details)
            for run in runs
        )

    def stop(self, run_id: int) -> None:
        """Stop a run that has not ended."""
        run = self.run(run_id)
        if run is not None and run.status != _FINISHED:
            with suppress(RunStateError), _understood():  # it may have ended in between
                self._client.StopRun(StopRunRequest(run_id=run_id))

    def stop_all(self) -> None:
        """Stop every run that has not ended."""
        for run in self.runs():
            self.stop(run.run_id)


@contextmanager
def connected(home: CoordinatorHome) -> Iterator[Control]:
    """Connect to the SuperLink of this home; nothing is sent before the first question.

    Raises:
        ConnectionFailedError: From any question, while the SuperLink does not answer.
        UntrustedError: From any question, if what answers is not ours.
    """
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"  # all of it stays on this machine
    trusted = ssl.create_default_context(cadata=read_certificate(home.authority))
    client = ControlHttpClient(
        f"https://{load_settings(home.settings).superlink}",
        interceptors=[
            CliClientHttpInterceptor(),
            RuntimeVersionHttpInterceptor(component_name="flwr CLI"),
        ],
        verify=trusted,
    )
    try:
        yield Control(client)
    finally:
        client.close()


def node_key(line: str) -> bytes:
    """Return a node's public key (OpenSSH line) as Flower keeps it.

    Raises:
        UntrustedError: If it is not a public EC P-384 key.
    """
    try:
        key = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP384R1):
        raise UntrustedError(
            expected="a public EC P-384 key (OpenSSH)",
            got="something else",
            where="the node's key",
            fix="Join again: crisp-client join makes one",
        )
    return public_key_to_bytes(key)


@cache
def app_bundle() -> bytes:
    """Build the Flower app bundle: a manifest, no code; the same bytes every time."""
    return build_fab_from_disk(Path(str(files("crisp_server") / "flower_app")))


def app_hash() -> str:
    """Return the SHA-256 of the app bundle, by which hospitals know it."""
    return hashlib.sha256(app_bundle()).hexdigest()


@contextmanager
def _understood() -> Iterator[None]:
    """Turn what can go wrong between us and the SuperLink into our own errors."""
    try:
        yield
    except httpx.TransportError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise UntrustedError(
                expected="the SuperLink of this federation",
                got="one with another authority's certificate",
                where="the SuperLink's port",
                fix="Stop what listens there, or change superlink_port in coordinator.toml",
            ) from None
        raise _unreachable(type(error).__name__) from None
    except httpx.HTTPStatusError as error:
        if error.response.is_server_error:
            raise _unreachable(str(error.response.status_code)) from None
        raise RunStateError(
            expected="a SuperLink that does as it is asked",
            got=f"HTTP {error.response.status_code}: {error.response.text[:200]}".rstrip("."),
            where=error.request.url.path,
            fix="Read logs/superlink.jsonl in the coordinator's folder",
        ) from None


def _unreachable(got: str) -> ConnectionFailedError:
    return ConnectionFailedError(
        expected="a SuperLink that answers",
        got=got,
        where="the SuperLink's port",
        fix="Start it with `crisp up`, or read logs/superlink.jsonl in the coordinator's folder",
    )
