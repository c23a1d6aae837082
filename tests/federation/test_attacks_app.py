"""S20: an app that carries code. The hospital refuses it; the coordinator's word is not enough.

The coordinator itself is hostile here: it submits an app of its own to its own SuperLink.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from federation.deployment import COORDINATOR, Federation, federation, small_study, toml
from federation.hosts import needs_hosts

pytestmark = [
    pytest.mark.flower,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(400),
    needs_hosts,
]

SUBMIT = """
import hashlib, sys
from pathlib import Path
from flwr.cli.build import build_fab_from_disk
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import StartRunRequest
from flwr.supercore.fab import Fab
from crisp_server.deployment.control import connected
from crisp_server.home import CoordinatorHome
bundle = build_fab_from_disk(Path(sys.argv[2]))
fab = Fab(hashlib.sha256(bundle).hexdigest(), bundle, {})
with connected(CoordinatorHome(Path(sys.argv[1]))) as control:
    config = user_config_to_proto({"run": sys.argv[3]})
    control._client.StartRun(StartRunRequest(fab=fab_to_proto(fab), override_config=config))
"""
SERVER = """
import json, time
from pathlib import Path
from flwr.app import Message, RecordDict
from flwr.serverapp import ServerApp
app = ServerApp()
@app.main()
def main(grid, context):
    answers = Path(context.run_config["run"])
    while not (nodes := list(grid.get_node_ids())):
        time.sleep(0.2)
    message = Message(RecordDict(), nodes[0], "query.describe")
    for reply in grid.send_and_receive([message], timeout=90):
        said = reply.error.reason if reply.has_error() else "it answered"
        answers.write_text(json.dumps({"error": reply.has_error(), "said": said}))
"""
CLIENT = """
import os
os.system("touch {marker}")
from flwr.clientapp import ClientApp
app = ClientApp()
"""


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """One hospital, connected."""
    tables = small_study({"east": "source"}, federation={"rounds": 1})
    with federation(tmp_path_factory.mktemp("app"), tables=tables) as whole:
        whole.everybody()
        yield whole


def submitted(whole: Federation, folder: Path, changes: dict, extra: dict[str, str]) -> dict:
    """Submit an app with these changes to our manifest and these files; return the answer."""
    text = files("crisp_server").joinpath("flower_app/pyproject.toml").read_text()
    manifest = tomllib.loads(text)
    components = manifest["tool"]["flwr"]["app"]["components"]
    components |= {"serverapp": "hostile_server:app", **changes}
    folder.mkdir()
    (folder / "pyproject.toml").write_text(toml(manifest))
    for name, content in {"hostile_server.py": SERVER, **extra}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    answer = folder.with_suffix(".json")
    whole.type(COORDINATOR, sys.executable, "-c", SUBMIT, whole.home.path, folder, answer)
    whole.wait_for(answer.exists, 120, "the hospital answers")
    return json.loads(answer.read_text())


@pytest.mark.parametrize(
    ("component", "name"),
    [("payload:app", "payload.py"), ("crisp_client.flower:app", "crisp_client/flower.py")],
    ids=["an app of its own", "a file that shadows ours"],
)
def test_s20_an_app_that_carries_code_is_refused_and_none_of_it_runs(
    connected: Federation, tmp_path: Path, component: str, name: str
) -> None:
    marker = tmp_path / "it-ran"
    payload = CLIENT.format(marker=marker)

    answer = submitted(connected, tmp_path / "fat", {"clientapp": component}, {name: payload})

    assert answer["error"]
    assert "installed code only" in answer["said"]
    assert not marker.exists()
    assert not (connected.site_home("east").ledger).exists()


def test_s20_the_hospital_works_on_after_it_refused(connected: Federation) -> None:
    run = connected.run()

    run.wait()

    assert run.trained == [["east"]]
