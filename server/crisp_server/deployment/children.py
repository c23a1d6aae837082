"""The three processes of a coordinator: what they need on disk and how each is started."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from crisp_core.errors import ProcessError
from crisp_core.processes.supervisor import Child
from crisp_core.trust.keys import write_private
from crisp_server.deployment import nginx
from crisp_server.deployment.settings import CoordinatorSettings
from crisp_server.home import CoordinatorHome
from crisp_server.simulation.processes import flower_environment

_SECRET_BYTES = 32


def children_of(home: CoordinatorHome, settings: CoordinatorSettings) -> tuple[Child, ...]:
    """Write what the processes need and say how each is started, the SuperLink first.

    Raises:
        ProcessError: If nginx does not take its configuration.
        MissingExtraError: If nginx is not installed.
    """
    nginx_command = nginx.command(home)
    _check_configuration((*nginx_command, "-t"), nginx.write_configuration(home, settings))
    secret = _fresh_secret(home.flower.resolve() / "superexec.secret")
    environment = flower_environment(home.flower.resolve())
    commands = {
        "superlink": _superlink(home, settings, secret),
        "superexec": _superexec(home, settings, secret),
        "nginx": nginx_command,
    }
    return tuple(
        Child(
            name=name,
            command=command,
            environment=environment,
            cwd=home.flower.resolve(),
            log=home.logs / f"{name}.jsonl",
            keep_orphans=name == "superexec",  # Flower ends a ServerApp itself, seconds after it
        )
        for name, command in commands.items()
    )


def _superlink(
    home: CoordinatorHome, settings: CoordinatorSettings, secret: Path
) -> tuple[str, ...]:
    return (
        *(sys.executable, "-P", "-m", "crisp_server.deployment.superlink"),
        *("--host", "127.0.0.1", "--port", str(settings.superlink_port)),
        *("--ssl-ca-certfile", str(home.authority.resolve())),
        *("--ssl-certfile", str(home.certificate.resolve())),
        *("--ssl-keyfile", str(home.certificate_key.resolve())),
        *("--database", str(home.flower.resolve() / "state.db")),
        *("--isolation", "process", "--superexec-auth-secret-file", str(secret)),
        *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
    )


def _superexec(
    home: CoordinatorHome, settings: CoordinatorSettings, secret: Path
) -> tuple[str, ...]:
    return (
        str(Path(sysconfig.get_path("scripts")) / "flower-superexec"),
        *("--runtime-api-address", settings.superlink),
        *("--root-certificates", str(home.authority.resolve())),
        *("--superexec-auth-secret-file", str(secret)),
    )


def _fresh_secret(path: Path) -> Path:
    """Write a new word that only our SuperExec knows."""
    path.unlink(missing_ok=True)
    write_private(path, secrets.token_bytes(_SECRET_BYTES))
    return path


def _check_configuration(command: Sequence[str], configuration: Path) -> None:
    """Let nginx itself read what was written for it."""
    done = subprocess.run(  # noqa: S603 - our own words, no shell
        command, capture_output=True, text=True, check=False, env={"PATH": os.defpath}
    )
    if done.returncode != 0:
        faults = [line for line in done.stderr.splitlines() if "[emerg]" in line]
        raise ProcessError(
            expected="a configuration that nginx takes",
            got=(faults or done.stderr.splitlines() or ["nothing said"])[0],
            where=str(configuration),
            fix="Correct coordinator.toml",
        )
