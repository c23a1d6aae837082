"""A coordinator of the barest kind for tests of the hospital's daemon: Flower's SuperLink alone.

TLS with an authority of its own, nodes known by key, and between the two a line that a test can
make answer anything.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from crisp_client.home import SiteHome
from crisp_core.trust.certificates import make_authority, make_server_certificate
from crisp_core.trust.keys import make_node_key, make_signing_key

SCRIPTS = Path(sysconfig.get_path("scripts"))


@dataclass
class Coordinator:
    """A SuperLink on 127.0.0.1; `port` is where hospitals connect."""

    folder: Path
    port: int
    environment: dict[str, str]

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    def flwr(self, *words: str) -> dict:
        """Run Flower's command line against this coordinator and return its answer."""
        command = [SCRIPTS / "flwr", *words, "--format", "json"]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout[done.stdout.index("{") :])

    def register(self, home: SiteHome, name: str) -> str:
        """Admit a site and return its node's number."""
        key = str(home.node_key.with_suffix(".pub"))
        return str(self.flwr("supernode", "register", key, "here", "--name", name)["node-id"])

    def status(self, node: str) -> str:
        """Return what the coordinator thinks of a node."""
        nodes = self.flwr("supernode", "list", "here", "--verbose")["nodes"]
        return next(str(entry["status"]) for entry in nodes if str(entry["node-id"]) == node)

    def submit(self, app: Path) -> str:
        return str(self.flwr("run", str(app), "here")["run-id"])

    def run_status(self, run: str) -> str:
        return str(self.flwr("ls", "here", "--run-id", run)["runs"][0]["status"])

    def run_log(self, run: str) -> str:
        command = [SCRIPTS / "flwr", "log", run, "here", "--show"]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=True
        ).stdout


@contextmanager
def coordinator(folder: Path) -> Iterator[Coordinator]:
    """Run a SuperLink with certificates of its own."""
    folder.mkdir()
    make_authority(folder / "ca.crt", folder / "ca.key", "test", days=2)
    make_server_certificate(
        folder / "ca.crt", folder / "ca.key", folder / "s.crt", folder / "s.key",
        ["localhost", "127.0.0.1"], days=2,
    )  # fmt: skip
    port = free_port()
    here = Coordinator(folder, port, _environment(folder, port))
    process = start_superlink(here)
    try:
        yield here
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def executor(here: Coordinator) -> Iterator[None]:
    """Run the coordinator's own half of apps, for as long as this lasts."""
    words = ["--runtime-api-address", f"127.0.0.1:{here.port}", "--root-certificates", "ca.crt"]
    with (here.folder / "executor.log").open("ab") as log:
        process = subprocess.Popen(
            [SCRIPTS / "flower-superexec", *words, "--superexec-auth-secret-file", "secret"],
            cwd=here.folder, env=here.environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def start_superlink(here: Coordinator) -> subprocess.Popen[bytes]:
    words = ["--host", "127.0.0.1", "--port", str(here.port), "--enable-supernode-auth"]
    words += ["--ssl-ca-certfile", "ca.crt", "--ssl-certfile", "s.crt", "--ssl-keyfile", "s.key"]
    words += ["--isolation", "process", "--superexec-auth-secret-file", "secret"]
    (here.folder / "secret").touch(mode=0o600)
    (here.folder / "secret").write_bytes(b"s" * 32)
    with (here.folder / "superlink.log").open("ab") as log:
        process = subprocess.Popen(
            [SCRIPTS / "flower-superlink", *words],
            cwd=here.folder, env=here.environment, stdout=log, stderr=log,
        )  # fmt: skip
    assert eventually(lambda: listening(here.port), 30)
    return process


@contextmanager
def disturbed(here: Coordinator) -> Iterator[tuple[int, dict[str, int]]]:
    """Stand between hospital and coordinator; yields (port, {path: status to answer instead})."""
    answers: dict[str, int] = {}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(here.folder / "s.crt", here.folder / "s.key")
    upstream = httpx.Client(
        base_url=f"https://127.0.0.1:{here.port}",
        verify=ssl.create_default_context(cafile=str(here.authority)),
        timeout=30,
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), _line(upstream, answers))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # a hospital that is killed breaks the line
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], answers
    finally:
        server.shutdown()
        server.server_close()
        upstream.close()
        thread.join()


def _line(upstream: httpx.Client, answers: dict[str, int]) -> type[BaseHTTPRequestHandler]:
    class Line(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = answers.get(self.path.rpartition("/")[2]) or answers.get("*")
            if status:
                self._answer(status, b"", {})
                return
            kept = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            reply = upstream.post(self.path, content=body, headers=kept)
            self._answer(reply.status_code, reply.content, dict(reply.headers))

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "content-encoding", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Line


def site_home(folder: Path, here: Coordinator, address: str) -> SiteHome:
    """Make a joined site's home, its key not yet registered, without a resident."""
    home = SiteHome(folder)
    home.authority.parent.mkdir(parents=True)
    home.authority.write_bytes(here.authority.read_bytes())
    home.node_key.with_suffix(".pub").write_text(make_node_key(home.node_key))
    make_signing_key(home.signing_key)
    data = folder / "data"
    data.mkdir()
    home.settings.write_text(
        f'site = "north"\ndata = ["{data}"]\nwork = "{folder / "work"}"\n'
        f'pseudonym_key = "k"\ncoordinator = "{address}"\nresident = false\ndevice = "cpu"\n'
    )
    return home


class Daemon:
    """`crisp-client start` in a process of its own, and what it said."""

    def __init__(self, home: SiteHome, **environment: str) -> None:
        self.home = home
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [SCRIPTS / "crisp-client", "start", "--home", home.path],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            self.said.extend(line.strip() for line in lines)

    def says(self, words: str, limit_s: float = 30) -> bool:
        return eventually(lambda: any(words in line for line in self.said), limit_s)

    def child(self, name: str) -> dict:
        state = json.loads((self.home.running / "children.json").read_text())
        return next(child for child in state["children"] if child["name"] == name)

    def log(self, name: str) -> str:
        path = self.home.logs / f"{name}.jsonl"
        return path.read_text() if path.exists() else ""

    def end(self) -> int:
        """Stop at once, whatever it does, and return its exit code."""
        for _ in range(2):
            if self.process.poll() is None:
                self.process.terminate()
                time.sleep(0.2)
        try:
            code = self.process.wait(30)
        finally:
            self.process.kill()
        self._thread.join(10)
        return code


@contextmanager
def daemon(home: SiteHome, **environment: str) -> Iterator[Daemon]:
    running = Daemon(home, **environment)
    try:
        yield running
    finally:
        running.end()


def eventually(true: Callable[[], bool], limit_s: float = 30) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            if true():
                return True
        time.sleep(0.1)
    return False


def listening(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _environment(folder: Path, port: int) -> dict[str, str]:
    home = folder / "flwr"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{port}"\n'
        f'root-certificates = "{folder / "ca.crt"}"\n'
    )
    return {
        **os.environ,
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "NO_PROXY": "127.0.0.1",
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
    }
