"""A coordinator's home on free ports, and its processes."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from crisp_core.schema.study import Study
from crisp_core.trust.keys import make_node_key, make_signing_key
from crisp_core.trust.tokens import JoinToken, read_token
from crisp_server.deployment.nginx import command, write_configuration
from crisp_server.deployment.provision import provision
from crisp_server.deployment.settings import CoordinatorSettings, load_settings
from crisp_server.home import CoordinatorHome

SITES = {"east": "source", "north": "source", "south": "held-out"}
needs_nginx = pytest.mark.skipif(
    shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") is None
    and "CI" not in os.environ,
    reason="nginx is not installed: sudo apt-get install nginx-light",
)


def study(**sections: Any) -> Study:
    raw = {
        "name": "tiny",
        "classes": ["ring", "inner"],
        "sites": {site: {"role": role} for site, role in SITES.items()},
        "training": {"steps": 12},
        **sections,
    }
    return Study.model_validate_json(json.dumps(raw))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def made_home(folder: Path, *, token_hours: float = 1.0, **sections: Any) -> CoordinatorHome:
    """Provision a home that is reached at 127.0.0.1, on a port of its own."""
    home = CoordinatorHome(folder / "crisp-home")
    address = f"127.0.0.1:{free_port()}"
    provision(home, study(**sections), address, token_hours=token_hours, days=30)
    text = home.settings.read_text().replace('"0.0.0.0"', '"127.0.0.1"')
    home.settings.write_text(text)
    return home


def token_of(home: CoordinatorHome, site: str) -> JoinToken:
    from datetime import UTC, datetime

    return read_token((home.tokens / f"{site}.token").read_text(), datetime.now(UTC))


def keys_of(folder: Path) -> dict[str, str]:
    """Make a site's keys and return their public halves, as a join request names them."""
    return {
        "node_key": make_node_key(folder / "node"),
        "signing_key": make_signing_key(folder / "signing.pem"),
    }


def join_request(home: CoordinatorHome, site: str, keys: dict[str, str]) -> dict[str, str]:
    return {"want": "join", "site": site, "secret": token_of(home, site).secret, **keys}


@contextmanager
def connection(home: CoordinatorHome) -> Iterator[http.client.HTTPSConnection]:
    """Connect to the open port as a hospital does: it trusts the home's authority only."""
    trusted = ssl.create_default_context(cafile=str(home.authority))
    port = load_settings(home.settings).port
    open_port = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=trusted)
    try:
        yield open_port
    finally:
        open_port.close()


def asked(home: CoordinatorHome, method: str, path: str, body: str = "") -> tuple[int, str]:
    """Ask the open port one thing; return status and body."""
    with connection(home) as open_port:
        open_port.request(method, path, body=body)
        answer = open_port.getresponse()
        return answer.status, answer.read().decode(errors="replace")


def posted(home: CoordinatorHome, value: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Post JSON to the join endpoint; return status and answer."""
    status, text = asked(home, "POST", "/v1/join", json.dumps(value))
    return status, json.loads(text)


@contextmanager
def nginx_running(home: CoordinatorHome) -> Iterator[CoordinatorSettings]:
    """Run the real nginx of this home until the block ends."""
    settings = load_settings(home.settings)
    write_configuration(home, settings)
    process = subprocess.Popen(command(home), stderr=subprocess.DEVNULL)
    try:
        wait_for_port(settings.port)
        yield settings
    finally:
        process.terminate()
        process.wait(timeout=10)


def wait_for_port(port: int, limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens on port {port}"
            time.sleep(0.05)
        else:
            return


@contextmanager
def crisp(home: CoordinatorHome, *words: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Type a `crisp` command in the folder of the home; it is killed if it outlives the block."""
    main = "from crisp_server.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", main, *words],
        cwd=home.path.parent,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def typed(home: CoordinatorHome, *words: str, limit_s: float = 60.0) -> tuple[int, str]:
    """Type a `crisp` command and wait for its end; return its exit code and what it said."""
    with crisp(home, *words) as process:
        said = process.communicate(timeout=limit_s)[0]
    return process.returncode, said
