"""The hospital's daemon against a real SuperLink with TLS and keys, on 127.0.0.1."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from coordinator_on_loopback import (
    SCRIPTS,
    Coordinator,
    coordinator,
    daemon,
    disturbed,
    eventually,
    executor,
    site_home,
)
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.runtime import RuntimeHttpClient

from crisp_client.home import SiteHome
from crisp_core.processes.groups import Group, is_alive

pytestmark = [pytest.mark.flower, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    with coordinator(tmp_path_factory.mktemp("loopback") / "coordinator") as running:
        yield running


def probed(home: SiteHome, path: str) -> int:
    port = json.loads((home.running / "daemon.json").read_text())["probe_port"]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_site_waits_to_be_admitted_comes_back_when_killed_and_leaves_in_order(
    here: Coordinator, tmp_path: Path
) -> None:
    home = site_home(tmp_path / "north", here, f"127.0.0.1:{here.port}")
    with daemon(home) as site:
        assert site.says("not admitted")
        assert (probed(home, "live"), probed(home, "ready")) == (200, 503)
        node = here.register(home, "north")
        assert site.says("ready: site north is connected")
        assert probed(home, "ready") == 200

        second = subprocess.run(
            [SCRIPTS / "crisp-client", "start", "--home", home.path],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert second.returncode == 3
        assert f"process {site.process.pid}" in second.stderr

        with pytest.raises(httpx.HTTPStatusError, match="401"):
            take_a_task(site.child("supernode")["pid"])

        before = len(site.said)
        os.kill(site.child("supernode")["pid"], signal.SIGKILL)
        assert eventually(lambda: any("not connected" in line for line in site.said[before:]))
        assert eventually(lambda: any("ready:" in line for line in site.said[before:]))
        assert here.status(node) == "online"

        site.process.terminate()
        assert site.process.wait(30) == 0
    assert here.status(node) == "offline"
    assert site.said[-1] == "stopped"


@pytest.mark.long
def test_a_deaf_node_is_replaced_and_a_busy_coordinator_waited_for(
    here: Coordinator, tmp_path: Path
) -> None:
    with disturbed(here) as (port, answers):
        home = site_home(tmp_path / "east", here, f"127.0.0.1:{port}")
        node = here.register(home, "east")
        with daemon(home) as site:
            assert site.says("ready:")
            first = site.child("supernode")["pid"]
            answers["pull-messages"] = 500
            assert eventually(lambda: "answers HTTP 500" in site.log("supernode"))
            time.sleep(3)
            assert (site.child("supernode")["pid"], site.child("supernode")["restarts"]) == (
                first,
                0,
            )

            answers["pull-messages"] = 404
            assert eventually(lambda: site.child("supernode")["last_exit"] == 75)
            answers.clear()
            assert eventually(lambda: site.child("supernode")["pid"] not in (0, first))
            assert eventually(lambda: here.status(node) == "online")


def take_a_task(supernode: int) -> None:
    """Ask for a task as another user of the machine could: over the local port, without secret."""
    words = Path(f"/proc/{supernode}/cmdline").read_text().split("\0")
    port = words[words.index("--port") + 1]
    client = RuntimeHttpClient.from_server_address(
        f"127.0.0.1:{port}", insecure=True, root_certificates=None,
        interceptors=[RuntimeVersionHttpInterceptor(component_name="SuperExec")],
    )  # fmt: skip
    with closing(client):
        client.AcquireTask(AcquireTaskRequest(supported_task_types=["flwr-clientapp"]))


SERVER = """
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()

@app.main()
def main(grid, context):
    message = Message(
        RecordDict({"c": ConfigRecord({"a": 1})}),
        message_type="query.describe", dst_node_id=list(grid.get_node_ids())[0],
    )
    for reply in grid.send_and_receive([message], timeout=100):
        print("REPLY", reply.error.reason, flush=True)
"""


@pytest.mark.long
def test_foreign_code_is_refused_with_an_answer_that_a_stop_does_not_lose(
    here: Coordinator, tmp_path: Path
) -> None:
    with executor(here), disturbed(here) as (port, answers):
        home = site_home(tmp_path / "south", here, f"127.0.0.1:{port}")
        here.register(home, "south")
        with daemon(home) as site:
            assert site.says("ready:")
            answers["push-messages"] = 503
            run = here.submit(foreign_app(tmp_path / "app"))
            assert eventually(
                lambda: "federation service does not run" in site.log("supernode"), 60
            )

            site.process.terminate()
            time.sleep(4)
            assert site.process.poll() is None
            answers.clear()
            assert site.process.wait(60) == 0

        assert eventually(lambda: here.run_status(run) == "finished:completed", 60)
        assert "REPLY <class 'crisp_core.errors.PolicyError'>" in here.run_log(run)
        assert "this site runs installed code only" in here.run_log(run)


def foreign_app(folder: Path) -> Path:
    folder.mkdir()
    (folder / "theirs.py").write_text(SERVER)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "theirs"\nversion = "1.0.0"\nlicense = "x"\ndescription = "x"\n'
        'dependencies = []\n[tool.flwr.app]\npublisher = "them"\n'
        '[tool.flwr.app.components]\nserverapp = "theirs:app"\nclientapp = "theirs:app"\n'
    )
    return folder


def test_a_killed_daemon_leaves_nothing_that_outlives_it(here: Coordinator, tmp_path: Path) -> None:
    home = site_home(tmp_path / "west", here, f"127.0.0.1:{here.port}")
    here.register(home, "west")
    with daemon(home) as site:
        assert site.says("ready:")
        groups = [Group(site.child(name)["pid"], "") for name in ("supernode", "executor")]
        site.process.kill()
        assert eventually(lambda: not any(is_alive(group) for group in groups))
