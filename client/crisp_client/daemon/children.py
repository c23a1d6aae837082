"""The daemon's children: what runs at a hospital, with which words and in which surroundings."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from crisp_client.daemon.link import CONTACT_FILE, CONTACT_VARIABLE
from crisp_client.home import SiteHome
from crisp_core.errors import UsageError
from crisp_core.processes.supervisor import Child
from crisp_core.schema.manifest import SiteSettings

SUPERNODE, EXECUTOR, RESIDENT = "supernode", "executor", "resident"
LOOPBACK = "127.0.0.1"
SECRET_SIZE_BYTES = 32
TASK_POLL_S = 0.25
"""Flower's executor looks for a task every second."""


def site_children(home: SiteHome, settings: SiteSettings) -> tuple[Child, ...]:
    """Return the processes of one site, in the order in which they start.

    The SuperNode connects to the coordinator and hands tasks to the executor over a port of this
    machine; only who has the secret in `running/` gets one, so that other users of the machine
    cannot take a study's messages. The executor starts a guarded process per task. The resident
    does the work.

    Raises:
        UsageError: If the site's settings name no coordinator, or the home cannot be passed on.
    """
    _check(home, settings)
    home.running.mkdir(parents=True, exist_ok=True)
    home.running.chmod(0o700)
    flower = home.running / "flower"
    flower.mkdir(mode=0o700, exist_ok=True)
    made = _Maker(home, flower, _environment(home, flower))
    local = f"{LOOPBACK}:{free_port()}"
    children = [
        made.child(SUPERNODE, *_supernode_words(home, settings, local)),
        made.child(EXECUTOR, "--insecure", "--runtime-api-address", local, *_secret_words(home)),
    ]
    _write_secret(home)
    if settings.resident:
        children.insert(0, made.child(RESIDENT, str(home.path), module="crisp_client.resident"))
    return tuple(children)


def free_port() -> int:
    """Return a port of this machine that nothing listens on now."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class _Maker:
    home: SiteHome
    cwd: Path
    environment: Mapping[str, str]

    def child(self, name: str, *words: str, module: str = "") -> Child:
        """Return a child that is a module of ours, run without the current folder on its path."""
        module = module or f"crisp_client.daemon.{name}"
        command = (sys.executable, "-P", "-m", module, *words)
        log = self.home.logs / f"{name}.jsonl"
        return Child(name, command, self.environment, self.cwd, log)


def _supernode_words(home: SiteHome, settings: SiteSettings, local: str) -> tuple[str, ...]:
    host, _, port = local.partition(":")
    return (
        *("--superlink", settings.coordinator),
        *("--root-certificates", str(home.authority)),
        *("--auth-supernode-private-key", str(home.node_key)),
        *("--isolation", "process", *_secret_words(home)),
        *("--host", host, "--port", port),
        *("--node-config", f"site-settings='{home.settings}'"),
    )


def _secret_words(home: SiteHome) -> tuple[str, str]:
    return "--superexec-auth-secret-file", str(_secret(home))


def _secret(home: SiteHome) -> Path:
    return home.running / "executor.secret"


def _write_secret(home: SiteHome) -> None:
    path = _secret(home)
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(SECRET_SIZE_BYTES))


def _environment(home: SiteHome, flower: Path) -> dict[str, str]:
    """Return our environment (proxies, CUDA, …) without foreign Flower settings, and with ours.

    What stays on this machine must not go through a proxy.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLWR_")}
    direct = ",".join(filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy"), LOOPBACK]))
    return kept | {
        "NO_PROXY": direct,
        "no_proxy": direct,
        "PYTHONUNBUFFERED": "1",
        "FLWR_HOME": str(flower),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": str(TASK_POLL_S),
        CONTACT_VARIABLE: str(home.running / CONTACT_FILE),
    }


def _check(home: SiteHome, settings: SiteSettings) -> None:
    if not settings.coordinator:
        raise UsageError(
            expected="a coordinator's host:port",
            got="none",
            where=str(home.settings),
            fix="Join a study first: crisp-client join TOKEN --data FOLDER",
        )
    if "'" in str(home.settings):
        raise UsageError(
            expected="a home without a quote in its path",
            got=str(home.path),
            where="--home",
            fix="Move the folder to a plainer place",
        )
