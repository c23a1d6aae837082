"""Doors that are tried from outside: the open port, the join word, the node key, the app."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from federation.deployment import COORDINATOR, NAME, Federation, federation, small_study
from federation.hosts import needs_hosts

from crisp_core.trust.keys import make_node_key
from crisp_core.trust.tokens import PREFIX
from crisp_server.roster import Roster, change_roster

pytestmark = [pytest.mark.flower, pytest.mark.slow, pytest.mark.timeout(300), needs_hosts]

POST = """
import http.client, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
for path in sys.argv[3:]:
    connection = http.client.HTTPSConnection(sys.argv[2], context=context, timeout=10)
    connection.putrequest("POST", path)
    connection.putheader("Content-Length", "0")
    connection.endheaders()
    print(connection.getresponse().status, path)
    connection.close()
"""
FORBIDDEN = (
    "/v1/control/start-run",
    "/v1/control/register-node",
    "/v1/control/list-runs",
    "/v1/runtime/acquire-task",
    "/v1/runtime/pull-task-input",
    "/v1/fleet/../control/start-run",
    "/v1/fleet/%2e%2e/control/start-run",
    "/v1/fleet/..%2fcontrol/start-run",
    "/v1/fleet//../../v1/runtime/acquire-task",
    "//v1/control/start-run",
    "/v1/joining",
    "/docs",
    "/openapi.json",
    "/health",
    "/",
)
TAKE_TASK = """
import sys
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.runtime.runtime_http_client import RuntimeHttpClient
verify = sys.argv[2] if len(sys.argv) > 2 else True
client = RuntimeHttpClient(sys.argv[1], interceptors=[], verify=verify)
try:
    print("GIVEN", client.AcquireTask(AcquireTaskRequest()))
except Exception as error:
    print(type(error).__name__, getattr(getattr(error, "response", None), "status_code", error))
"""
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A coordinator and east, which is connected; west and north have tokens."""
    roles = dict.fromkeys(("east", "north", "west"), "source")
    tables = small_study(roles, federation={"rounds": 1, "timeout_s": 20})
    with federation(tmp_path_factory.mktemp("doors"), "stranger", tables=tables) as whole:
        whole.provision()
        whole.up()
        whole.join("east")
        whole.start("east")
        for site in ("north", "west"):
            whole.write_images(site)
        yield whole


def superlink_port(whole: Federation) -> str:
    lines = whole.home.settings.read_text().splitlines()
    return next(line.split()[-1] for line in lines if line.startswith("superlink_port"))


def changed(token: str, **fields: str) -> str:
    """Return a token that says something else."""
    packed = token.removeprefix(PREFIX)
    value = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    text = json.dumps({**value, **fields}).encode()
    return PREFIX + base64.urlsafe_b64encode(text).decode().rstrip("=")


def test_every_path_but_two_is_forbidden_from_a_sites_address(up: Federation) -> None:
    where = f"{NAME}:{up.port}"

    said = up.net["east"].run(
        sys.executable, "-c", POST, up.site_home("east").authority, where, *FORBIDDEN
    )

    answers = dict(reversed(line.split(" ", 1)) for line in said.stdout.splitlines())
    assert answers == dict.fromkeys(FORBIDDEN, "403"), said.stderr


def test_no_other_port_of_the_coordinator_can_be_reached_from_a_site(up: Federation) -> None:
    settings = up.home.settings.read_text()
    words = [line.split() for line in settings.splitlines() if "_port = " in line]
    local = [line[-1] for line in words]

    said = [
        up.net["east"].run(sys.executable, "-c", CONNECT, up.net[COORDINATOR].address, port).stderr
        for port in local
    ]

    assert len(local) == 2
    assert all("refused" in text for text in said), said


def test_a_task_is_given_to_nobody_without_the_secret_not_even_on_the_coordinator(
    up: Federation,
) -> None:
    place = f"https://127.0.0.1:{superlink_port(up)}"

    said = up.net[COORDINATOR].run(sys.executable, "-c", TAKE_TASK, place, up.home.authority)

    assert "401" in said.stdout, said


def test_a_task_is_given_to_nobody_without_the_secret_not_even_at_the_hospital(
    up: Federation,
) -> None:
    supernode = up.process_id("east", "supernode")
    words = Path(f"/proc/{supernode}/cmdline").read_text().split("\0")
    place = f"http://127.0.0.1:{words[words.index('--port') + 1]}"

    said = up.net["east"].run(sys.executable, "-c", TAKE_TASK, place)

    assert "401" in said.stdout, said


def test_the_secrets_and_keys_are_readable_by_their_owner_alone(up: Federation) -> None:
    site = up.site_home("east")
    private = [
        up.home.authority_key,
        up.home.certificate_key,
        up.home.signing_key,
        up.home.flower / "superexec.secret",
        site.node_key,
        site.signing_key,
        site.settings,
        site.running / "executor.secret",
        *up.home.tokens.iterdir(),
    ]

    open_to_others = [path for path in private if path.stat().st_mode & 0o077]

    assert open_to_others == []


def test_a_token_works_once(up: Federation) -> None:
    up.join("north")

    said = up.type(
        "stranger", "crisp-client", "join", token_of(up, "north"), "--data", up.data("north"),
        "--approve", expect=3,
    )  # fmt: skip

    assert "Expected" in said
    assert up.type("north", "crisp-client", "check", expect=None).count("revoked") == 0
    up.join("north")  # the same keys may ask again: a lost answer does no harm


def token_of(whole: Federation, site: str) -> str:
    return (whole.home.tokens / f"{site}.token").read_text().strip()


def test_an_expired_token_is_refused_by_both_sides(up: Federation) -> None:
    token, past = token_of(up, "west"), "2020-01-01T00:00:00+00:00"
    words = ("--data", up.data("west"), "--approve", "--home", "expired")

    here = up.type("west", "crisp-client", "join", changed(token, expires=past), *words, expect=3)
    before = Roster.load(up.home.roster).entry("west")
    old = before.model_copy(update={"token_expires": past})
    change_roster(up.home.roster, lambda roster: roster.replaced(old))
    there = up.type("west", "crisp-client", "join", token, *words, expect=3)
    change_roster(up.home.roster, lambda roster: roster.replaced(before))

    assert "Ask the coordinator for a new one" in here
    assert "new token" in there
    assert Roster.load(up.home.roster).entry("west").state == "invited"


def test_a_guessed_join_word_is_refused(up: Federation) -> None:
    guess = changed(token_of(up, "west"), secret="0" * 32)

    said = up.type(
        "west", "crisp-client", "join", guess, "--data", up.data("west"), "--approve",
        "--home", "guessed", expect=3,
    )  # fmt: skip

    assert "to be admitted" in said


def test_a_coordinator_with_another_authority_is_refused_before_the_word_is_said(
    up: Federation,
) -> None:
    wrong = changed(token_of(up, "west"), fingerprint="0" * 64)

    said = up.type(
        "west", "crisp-client", "join", wrong, "--data", up.data("west"), "--approve",
        "--home", "wrong", expect=3,
    )  # fmt: skip

    assert "the authority that the token names" in said
    assert not Roster.load(up.home.roster).entry("west").token_used


def test_a_node_key_that_nobody_registered_is_not_let_in(up: Federation) -> None:
    up.join("west")
    key = up.site_home("west").node_key
    key.unlink()
    make_node_key(key)

    daemon = up.start("west", wait=False)
    up.wait_for(lambda: "not admitted" in daemon.said() or "does not know" in daemon.said(), 60,
                "the daemon says why it is not connected")  # fmt: skip
    said = daemon.said()
    daemon.stop()

    assert "ready:" not in said


def test_a_revoked_hospital_is_shut_out_and_told_so(up: Federation) -> None:
    daemon, token = up.started["east-start"], token_of(up, "east")

    up.type(COORDINATOR, "crisp", "sites", "revoke", "east")
    seconds = up.wait_for(lambda: "not connected: site east" in daemon.said(), 60, "shut out")
    said = up.type("east", "crisp-client", "check", expect=3)
    listed = up.type(COORDINATOR, "crisp", "sites", "list")

    assert seconds < 60
    assert "revoked" in said
    assert any("east" in line and "revoked" in line for line in listed.splitlines())
    again = up.type(
        "stranger", "crisp-client", "join", token, "--data", up.data("east"),
        "--approve", "--home", "again", expect=3,
    )  # fmt: skip
    assert "Expected" in again


def test_a_link_in_the_data_folder_that_points_out_of_it_is_not_followed(up: Federation) -> None:
    secret = up.folder / "secret.nii.gz"
    site = up.data("north")
    shutil.copy(site / "images" / "north-0.nii.gz", secret)
    (site / "images" / "north-0.nii.gz").unlink()
    (site / "images" / "north-0.nii.gz").symlink_to(secret)

    said = up.type("north", "crisp-client", "check", expect=3)

    assert any("north-0" in line and "link" in line for line in said.splitlines()), said
