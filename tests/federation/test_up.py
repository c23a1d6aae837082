"""`crisp up` and `crisp run` with Flower's real processes and nginx, on one machine."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from coordinator_homes import (
    asked,
    crisp,
    free_port,
    join_request,
    keys_of,
    made_home,
    needs_nginx,
    posted,
    study,
    typed,
)

from crisp_core.errors import UntrustedError
from crisp_core.processes.supervisor import ChildStatus, read_status
from crisp_core.trust.certificates import make_server_certificate
from crisp_server.deployment.control import Node, connected, node_key
from crisp_server.deployment.invitations import shut_out
from crisp_server.deployment.provision import provision, renew_certificate
from crisp_server.deployment.serverapp import holder
from crisp_server.deployment.settings import load_settings
from crisp_server.deployment.up import STATE_FILE
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster

pytestmark = [pytest.mark.flower, needs_nginx]
READY_S = 30.0


class Up:
    """A running `crisp up` and what it says."""

    def __init__(self, home: CoordinatorHome, process: subprocess.Popen[str], log: Path) -> None:
        self.home, self.process, self.log = home, process, log

    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, words: str, limit_s: float = READY_S, times: int = 1) -> float:
        """Return the seconds until `up` has said `words` so often."""
        began = time.monotonic()
        while self.said().count(words) < times:
            assert self.process.poll() is None, self.said()
            assert time.monotonic() - began < limit_s, self.said()
            time.sleep(0.1)
        return time.monotonic() - began

    def child(self, name: str) -> ChildStatus:
        statuses = read_status(self.home.running / STATE_FILE)
        return next(status for status in statuses if status.name == name)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


@contextmanager
def up(home: CoordinatorHome) -> Iterator[Up]:
    log = home.path.parent / "up.log"
    with log.open("w") as sink, crisp(home, "up", stdout=sink) as process:
        running = Up(home, process, log)
        try:
            running.wait_for("ready: https://")
            yield running
        finally:
            if process.poll() is None:
                running.end()


def processes_of(home: CoordinatorHome) -> list[str]:
    """Every process that has to do with the home, by its words or its environment."""
    place, found = str(home.path).encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words, env = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        if place in words or place in env:
            found.append(words.replace(b"\0", b" ").decode())
    return found


def wait_until(true: object, limit_s: float = 30.0) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def nodes(home: CoordinatorHome) -> dict[str, Node]:
    with connected(home) as control:
        return {node.name: node for node in control.nodes() if node.status != "unregistered"}


def test_it_is_ready_soon_restarts_whatever_is_killed_and_leaves_nothing(tmp_path: Path) -> None:
    home, began = made_home(tmp_path), time.monotonic()

    with up(home) as running:
        assert time.monotonic() - began < READY_S
        for name in ("superlink", "superexec", "nginx"):
            before = running.child(name)
            os.kill(before.pid, signal.SIGKILL)
            running.wait_for(f"{name} ended (signal 9) and is restarted")
            running.wait_for(f"{name} runs again")
            assert running.child(name).pid != before.pid
        wait_until(lambda: answers(home))
        assert asked(home, "POST", "/v1/runtime/AcquireTask")[0] == 403
        code = running.end()

    assert code == 0
    assert processes_of(home) == []


def answers(home: CoordinatorHome) -> bool:
    try:
        return asked(home, "POST", "/v1/fleet/x")[0] not in (403, 502)
    except OSError:
        return False


def test_a_site_that_joins_is_registered_at_once_and_stays_so_when_flower_forgets(
    tmp_path: Path,
) -> None:
    home, keys = made_home(tmp_path), keys_of(tmp_path / "keys")

    with up(home) as running:
        assert posted(home, join_request(home, "north", keys))[0] == 200
        first = nodes(home)["north"]
        assert first.key == node_key(keys["node_key"])
        assert Roster.load(home.roster).entry("north").node_id == str(first.node_id)

        running.end()
        for path in home.flower.glob("state.db*"):
            path.unlink()

    with up(home):
        wait_until(lambda: "north" in nodes(home))
        assert nodes(home)["north"].key == first.key

        shut_out(home, "north")

        wait_until(lambda: "north" not in nodes(home), limit_s=5)


def test_what_a_killed_up_leaves_is_ended_by_the_next_one(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    with up(home) as running:
        left = running.child("superlink").pid
        running.end(signal.SIGKILL)
        assert Path(f"/proc/{left}").exists()

    with up(home) as running:
        assert running.child("superlink").pid != left
        assert not Path(f"/proc/{left}").exists()

    assert processes_of(home) == []


def test_a_coordinator_at_an_ipv6_address_is_reached_there(tmp_path: Path) -> None:
    home = CoordinatorHome(tmp_path / "crisp-home")
    provision(home, study(), f"[::1]:{free_port()}", token_hours=1, days=1)
    trusted = ssl.create_default_context(cafile=str(home.authority))

    with up(home) as running:
        assert "ready: https://[::1]:" in running.said()
        connection = http.client.HTTPSConnection(
            "::1", load_settings(home.settings).port, timeout=10, context=trusted
        )
        connection.request("POST", "/v1/runtime/x")
        status = connection.getresponse().status
        connection.close()

    assert status == 403


def test_a_second_up_and_a_taken_port_are_refused_in_a_sentence(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    with up(home):
        code, said = typed(home, "up")
        assert code == 3
        assert "no other `crisp up` of this home" in said

    with socket.create_server(("127.0.0.1", load_settings(home.settings).port)):
        code, said = typed(home, "up")
    assert code == 3
    assert "Address already in use (port in coordinator.toml)" in said
    assert processes_of(home) == []


def test_a_superlink_of_another_home_is_told_nothing(tmp_path: Path) -> None:
    ours, theirs = made_home(tmp_path / "ours"), made_home(tmp_path / "theirs")
    port = load_settings(theirs.settings).superlink_port
    text = re.sub(r"superlink_port = \d+", f"superlink_port = {port}", ours.settings.read_text())
    ours.settings.write_text(text)

    with up(theirs), connected(ours) as control, pytest.raises(UntrustedError, match="authority"):
        control.runs()


@pytest.mark.long
def test_a_run_without_hospitals_fails_with_its_reason_and_goes_on_when_it_is_killed(
    tmp_path: Path,
) -> None:
    home = made_home(tmp_path, federation={"timeout_s": 40.0})
    lock = home.runs / "tiny" / ".lock"
    assert "crisp up" in typed(home, "run", "--quiet")[1]

    with up(home), crisp(home, "run") as running:
        wait_until((lock.parent / "events.jsonl").exists)
        first = holder(lock)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: holder(lock) not in (None, first), limit_s=40)
        told = json.loads(typed(home, "status", "--json")[1])
        said = running.communicate(timeout=120)[0]

        assert running.returncode == 3
        assert "Not joined yet: east, north, south" in said
        assert "submitted again, number 2" in said
        assert "east" in said.split("number 2")[1]
        assert told["sentence"].startswith("waiting for east, north, south")
        assert typed(home, "status")[1].startswith("failed: ")
    assert processes_of(home) == []


def test_an_interrupted_run_works_on_and_is_stopped_by_stop(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    lock = home.runs / "tiny" / ".lock"
    with up(home):
        with crisp(home, "run") as running:
            wait_until(lambda: holder(lock))
            running.send_signal(signal.SIGINT)
            said = running.communicate(timeout=30)[0]
        assert running.returncode == 130
        assert "crisp watch" in said

        assert holder(lock) is not None
        assert "nothing is lost" in typed(home, "stop")[1]

        assert holder(lock) is None
        assert typed(home, "status")[1].startswith("stopped: continue with `crisp resume")


def test_an_ended_certificate_is_named_and_renewed(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    keys = (home.authority, home.authority_key, home.certificate, home.certificate_key)
    home.certificate_key.unlink()
    make_server_certificate(*keys, ["127.0.0.1"], 0)

    code, said = typed(home, "up")
    assert code == 3
    assert "crisp renew" in said
    assert processes_of(home) == []

    renew_certificate(home, 30)

    with up(home):
        assert asked(home, "GET", "/")[0] == 403
