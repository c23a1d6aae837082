"""Flower's own engine with a throwaway pair of apps, real `flwr run` and real Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from crisp_core.errors import RunStateError
from crisp_server.simulation.engine import run_flower_simulation

pytestmark = [pytest.mark.flower, pytest.mark.slow]

MANIFEST = """
[project]
name = "throwaway"
version = "0.1.0"
dependencies = []

[tool.flwr.app]
publisher = "crisp"

[tool.flwr.app.components]
serverapp = "throwaway_server:app"
clientapp = "throwaway_client:app"

[tool.flwr.app.config]
run = ""
"""

SERVER = """
import time
from pathlib import Path
from flwr.app import Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()

@app.main()
def main(grid, context):
    run = Path(context.run_config["run"])
    while len(nodes := list(grid.get_node_ids())) < 3:
        time.sleep(0.1)
    messages = [Message(RecordDict(), node, "query.who") for node in nodes]
    for reply in grid.send_and_receive(messages, timeout=60):
        print("ANSWER", reply.content["who"]["json"], flush=True)
    if (run / "fail").exists():
        raise RuntimeError("the server fails on purpose")
    (run / "reached").touch()
    while (run / "hang").exists():
        time.sleep(0.1)
"""

CLIENT = """
import json, os, time
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.query("who")
def who(message, context):
    began = time.monotonic()
    time.sleep(0.2)
    said = {
        "node": dict(context.node_config), "run": context.run_config["run"], "pid": os.getpid(),
        "cwd": os.getcwd(), "threads": os.environ.get("OMP_NUM_THREADS"),
        "time": [began, time.monotonic()],
    }
    return Message(RecordDict({"who": ConfigRecord({"json": json.dumps(said)})}), reply_to=message)
"""


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Flower app of two modules on PYTHONPATH and a manifest elsewhere."""
    modules, folder = tmp_path / "modules", tmp_path / "app"
    modules.mkdir()
    folder.mkdir()
    (modules / "throwaway_server.py").write_text(SERVER)
    (modules / "throwaway_client.py").write_text(CLIENT)
    (folder / "pyproject.toml").write_text(MANIFEST)
    monkeypatch.setenv("PYTHONPATH", str(modules))
    return folder


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A short folder for secret and sockets; whatever Flower and Ray run names it."""
    with tempfile.TemporaryDirectory(prefix="crisp-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        yield folder


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / 'run with "quotes" and ümlaut'
    folder.mkdir()
    return folder


def processes_mentioning(text: str) -> list[str]:
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it ended while we looked
            continue
        if text in words:
            found.append(words)
    return found


def sockets_that_listen_beyond_this_machine() -> set[str]:
    """Read /proc/net/tcp and tcp6: state 0A is LISTEN, addresses are little-endian hex."""
    loopback = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    return {r[1] for r in rows if r[3] == "0A" and not r[1].startswith(loopback)}


def test_a_run_that_completes_returns_0_and_leaves_nothing_behind(
    manifest: Path, run_folder: Path, scratch: str
) -> None:
    lines: list[str] = []
    open_before = sockets_that_listen_beyond_this_machine()
    open_during: set[str] = set()

    def on_line(line: str) -> None:
        lines.append(line)
        if "ANSWER" in line:
            open_during.update(sockets_that_listen_beyond_this_machine())

    result = run_flower_simulation(run_folder, 3, on_line, manifest_folder=manifest)

    assert result == 0
    answers = [json.loads(line.removeprefix("ANSWER ")) for line in lines if "ANSWER" in line]
    assert sorted(a["node"]["partition-id"] for a in answers) == [0, 1, 2]
    assert {a["run"] for a in answers} == {str(run_folder)}
    times = sorted(a["time"] for a in answers)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(times))
    assert "\x1b" not in "".join(lines)
    assert lines[-1].endswith("finished:completed (N/A)")
    assert not processes_mentioning(scratch)
    assert open_during <= open_before


@pytest.mark.long
def test_a_server_app_that_raises_returns_1_and_says_why(manifest: Path, run_folder: Path) -> None:
    (run_folder / "fail").touch()
    lines: list[str] = []

    result = run_flower_simulation(run_folder, 3, lines.append, manifest_folder=manifest)

    assert result == 1
    assert "finished:failed" in lines[-1]
    assert "fails on purpose" in lines[-1]


def test_an_app_that_cannot_be_imported_is_refused_with_its_name(
    manifest: Path, run_folder: Path, scratch: str
) -> None:
    wrong = MANIFEST.replace("throwaway_server", "no_such_module")
    (manifest / "pyproject.toml").write_text(wrong)

    with pytest.raises(RunStateError, match="no_such_module"):
        run_flower_simulation(run_folder, 3, print, manifest_folder=manifest)

    assert not processes_mentioning(scratch)


@pytest.mark.parametrize(
    "signal_number",
    [pytest.param(2, id="interrupted", marks=pytest.mark.long), pytest.param(9, id="killed")],
)
def test_nothing_outlives_the_process_that_ran_the_simulation(
    manifest: Path, run_folder: Path, scratch: str, signal_number: int
) -> None:
    (run_folder / "hang").touch()
    code = (
        "import sys; from pathlib import Path;"
        "from crisp_server.simulation.engine import run_flower_simulation as run;"
        "run(Path(sys.argv[1]), 3, print, manifest_folder=Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(run_folder), str(manifest)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for((run_folder / "reached").exists)

    os.kill(child.pid, signal_number)

    child.wait(30)
    wait_for(lambda: not processes_mentioning(scratch), timeout_s=10)
    wait_for(lambda: not processes_mentioning(str(run_folder)), timeout_s=10)


def wait_for(condition: Callable[[], bool], timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
