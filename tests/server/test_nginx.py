from __future__ import annotations

import http.server
import os
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from coordinator_homes import (
    asked,
    connection,
    made_home,
    needs_nginx,
    nginx_running,
    study,
    wait_for_port,
)

from crisp_core.errors import MissingExtraError, UsageError
from crisp_server.deployment.nginx import command, program, write_configuration
from crisp_server.deployment.provision import provision
from crisp_server.deployment.settings import load_settings
from crisp_server.home import CoordinatorHome

pytestmark = needs_nginx
SHUT = [
    "/",
    "/docs",
    "/openapi.json",
    "/health",
    "/v1/control/StartRun",
    "/v1/control/RegisterNode",
    "/v1/runtime/AcquireTask",
    "/v1/fleet",
    "/v1/join/",
    "/v1/join/x",
    "/v1/fleet/../control/StartRun",
    "/v1/fleet/%2e%2e/control/StartRun",
    "/v1/fleet/..%2fcontrol/StartRun",
    "/v1/fleet//../control/StartRun",
    "//v1/control/StartRun",
    "/V1/FLEET/x",
]


CONNECTION = "/v1/fleet/connection"


class Told(http.server.BaseHTTPRequestHandler):
    """Says which path arrived behind the proxy, and over which of its connections."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        said = f"arrived {self.path}"
        body = (f"{self.client_address[1]}" if self.path == CONNECTION else said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def superlink(home: CoordinatorHome, certified_by: CoordinatorHome) -> Iterator[None]:
    """Serve TLS where the SuperLink would be, with the certificate of some home."""
    port = load_settings(home.settings).superlink_port
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Told)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certified_by.certificate, certified_by.certificate_key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoordinatorHome]:
    made = made_home(tmp_path_factory.mktemp("nginx"))
    with nginx_running(made), superlink(made, made):
        yield made


def test_nginx_takes_the_configuration_without_a_warning(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    write_configuration(home, load_settings(home.settings))

    done = subprocess.run([*command(home), "-t"], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert not [line for line in done.stderr.splitlines() if "[warn]" in line or "[emerg]" in line]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_it_also_serves_as_an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = 65534
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = made_home(Path(folder))
        monkeypatch.setattr("os.geteuid", lambda: nobody)
        write_configuration(home, load_settings(home.settings))
        for path in (Path(folder), *Path(folder).rglob("*")):
            os.chown(path, nobody, nobody)
        process = subprocess.Popen(
            command(home), user=nobody, group=nobody, extra_groups=[], stderr=subprocess.PIPE
        )
        try:
            wait_for_port(load_settings(home.settings).port)
            answer = asked(home, "GET", "/")
        finally:
            process.terminate()
            said = process.communicate(timeout=10)[1].decode()

    assert answer[0] == 403
    assert "[warn]" not in said
    assert "[alert]" not in said


@pytest.mark.parametrize("path", SHUT)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_every_other_path_is_shut(home: CoordinatorHome, method: str, path: str) -> None:
    status, body = asked(home, method, path)

    assert status == 403
    assert "arrived" not in body


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_post_is_passed_to_flower(home: CoordinatorHome, method: str) -> None:
    assert asked(home, method, "/v1/fleet/PullMessages")[0] == 403


def test_what_is_passed_arrives_as_it_was_matched(home: CoordinatorHome) -> None:
    assert asked(home, "POST", "/v1/fleet/PullMessages") == (200, "arrived /v1/fleet/PullMessages")
    found = asked(home, "POST", "/v1/control/../fleet/./x")
    assert found == (200, "arrived /v1/fleet/x")


def test_one_connection_to_the_superlink_serves_many_questions(home: CoordinatorHome) -> None:
    numbers = {asked(home, "POST", CONNECTION) for _ in range(3)}

    assert len(numbers) == 1


def test_a_chunk_of_an_array_passes_and_a_flood_does_not(home: CoordinatorHome) -> None:
    assert asked(home, "POST", "/v1/fleet/PushObject", "x" * 6_000_000)[0] == 200
    assert asked(home, "POST", "/v1/fleet/PushObject", "x" * 17_000_000)[0] == 413


def test_every_answer_tells_the_time_and_not_the_version(home: CoordinatorHome) -> None:
    with connection(home) as open_port:
        open_port.request("GET", "/")
        answer = open_port.getresponse()
        answer.read()

    assert answer.headers["Date"]
    assert answer.headers["Server"] == "nginx"


def test_a_stranger_in_the_place_of_the_superlink_is_told_nothing(tmp_path: Path) -> None:
    home, stranger = made_home(tmp_path / "ours"), made_home(tmp_path / "theirs")

    with nginx_running(home), superlink(home, stranger):
        status, body = asked(home, "POST", "/v1/fleet/PullMessages")

    assert status == 502
    assert "arrived" not in body


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(home: CoordinatorHome, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(home.authority))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version

    port = load_settings(home.settings).port
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        pytest.raises((ssl.SSLError, OSError)),
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_a_port_without_tls_answers_nothing_useful(home: CoordinatorHome) -> None:
    with socket.create_connection(("127.0.0.1", load_settings(home.settings).port)) as plain:
        plain.sendall(b"POST /v1/fleet/x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")

        assert b" 400 " in plain.recv(100)


def test_without_nginx_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_args, **_words: None)

    with pytest.raises(MissingExtraError, match="apt-get install nginx-light"):
        program()


def test_a_home_whose_path_would_change_the_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="quote"):
        provision(CoordinatorHome(tmp_path / 'a";$x'), study(), "localhost", token_hours=1, days=1)
