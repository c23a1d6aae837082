"""Flower's own engine: `flwr run` on a private SuperLink, sites as Ray actors, one at a time.

One process group holds the SuperLink, the SuperExec and everything that they start, Ray included.
It listens on 127.0.0.1 only and is gone when the run is: killed as a group, whatever happened.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from crisp_core.errors import RunStateError

START_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 5.0
POLL_S = 0.25
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

# `flower-superlink` has no --parent-pid of its own: without it, our SIGKILL would orphan it.
SUPERLINK = (
    "import os; from flwr.supercore.app_utils import start_parent_process_monitor as watch; "
    "watch(os.getppid()); from flwr.superlink.cli import flower_superlink; flower_superlink()"
)


def run_flower_simulation(
    run_folder: Path,
    site_count: int,
    on_line: Callable[[str], None],
    *,
    manifest_folder: Path | None = None,
) -> int:
    """Run the federation of `run_folder` through `flwr run` and follow it to its end.

    Args:
        run_folder: Reaches both apps as run config `run`, absolute. Flower's home and logs are
            kept in its subfolder `flower`.
        site_count: Simulated SuperNodes; node config `partition-id` is 0..site_count-1.
        on_line: Called with each line of the run's log, without colours or line end.
        manifest_folder: Holds the Flower app's pyproject.toml; the package's own by default.

    Returns:
        0 when Flower says `finished:completed`, else 1; the last line says what Flower said.

    Raises:
        RunStateError: If Flower's processes do not start, die early, or refuse the app.
    """
    home = run_folder.resolve() / "flower"
    manifest = manifest_folder or Path(str(files("crisp_server") / "flower_app"))
    with TemporaryDirectory(prefix="crisp-") as scratch, _started(home, Path(scratch)) as engine:
        run_id = _submit(engine, manifest.resolve(), run_folder.resolve(), site_count)
        for line in _lines(engine, run_id):
            on_line(line)
        status, details = _status(engine, run_id)
    on_line(f"Flower run {run_id}: {status} ({details})")
    return 0 if status == "finished:completed" else 1


@dataclass(frozen=True)
class _Engine:
    """The running SuperLink and SuperExec, and how to call `flwr` beside them."""

    home: Path
    environment: dict[str, str]
    processes: tuple[subprocess.Popen[bytes], ...]

    def answer(self, *arguments: str) -> dict[str, object]:
        """Return what one `flwr ... --format json` command says."""
        done = subprocess.run(
            ["flwr", *arguments, "--format", "json"],  # noqa: S607 - PATH starts with our scripts
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            said = COLOUR.sub("", done.stdout + done.stderr).strip()
            raise _refusal(f"`flwr {arguments[0]}` to succeed", said[-500:], self.home)
        return dict(json.loads(done.stdout))

    def check_alive(self) -> None:
        """Raise if the SuperLink or the SuperExec has died: nothing restarts them."""
        for process in self.processes:
            if process.poll() is not None:
                raise _refusal(
                    "Flower's processes to live as long as the run",
                    f"exit code {process.returncode}",
                    self.home,
                )


@contextlib.contextmanager
def _started(home: Path, scratch: Path) -> Iterator[_Engine]:
    """Start SuperLink and SuperExec in one process group; kill that group on the way out."""
    home.mkdir(parents=True, exist_ok=True)
    port, secret = _free_port(), scratch / "secret"
    secret.touch(mode=0o600)
    secret.write_bytes(secrets.token_bytes(32))
    environment = _environment(home, scratch)
    _write_connection(home, port)
    shared = ["--insecure", "--superexec-auth-secret-file", str(secret)]
    link = _spawn(
        [sys.executable, "-c", SUPERLINK, *shared, "--simulation", "--isolation", "process"]
        + ["--host", "127.0.0.1", "--port", str(port), "--disable-runtime-dependency-installation"],
        home / "superlink.log",
        environment,
    )
    running = [link]
    try:
        execute = ["flower-superexec", *shared, "--runtime-api-address", f"127.0.0.1:{port}"]
        execute += ["--parent-pid", str(os.getpid())]
        running.append(_spawn(execute, home / "superexec.log", environment, group=link.pid))
        engine = _Engine(home, environment, tuple(running))
        _wait_until_listening(engine, port)
        yield engine
    finally:
        _stop(link.pid, running)


def _spawn(
    command: list[str], log: Path, environment: dict[str, str], group: int = 0
) -> subprocess.Popen[bytes]:
    """Start `command` in the process group `group` (0: a new one), output to `log`."""
    with log.open("wb") as sink:
        return subprocess.Popen(
            command,
            cwd=log.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            process_group=group,
        )


def _stop(group: int, processes: list[subprocess.Popen[bytes]]) -> None:
    """End the whole group: politely, then for certain; Ray's processes outlive their parents."""
    try:
        _signal_group(group, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
    finally:
        _signal_group(group, signal.SIGKILL)
        for process in processes:
            process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _environment(home: Path, scratch: Path) -> dict[str, str]:
    """Return our environment without foreign Flower and Ray settings, and with ours.

    Ray binds every interface unless it is told that clusters are off; it may not hide a GPU from
    an actor that reserves none; its sockets need a short path. Ray gives an actor as many OpenMP
    threads as CPUs, so both are torch's count here: the same numbers as on the inline engine.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLWR_", "RAY_"))}
    return kept | {
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]),
        "NO_PROXY": "*",
        "no_proxy": "*",
        "PYTHONUNBUFFERED": "1",
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "RAY_TMPDIR": str(scratch),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_COLOR_PREFIX": "0",
        "RAY_DEDUP_LOGS": "0",
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _write_connection(home: Path, port: int) -> None:
    (home / "config.toml").write_text(
        '[superlink]\ndefault = "simulation"\n\n[superlink.simulation]\n'
        f'address = "127.0.0.1:{port}"\ninsecure = true\n'
    )


def _wait_until_listening(engine: _Engine, port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        engine.check_alive()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), POLL_S):
            return
        if time.monotonic() > deadline:
            raise _refusal("a listening SuperLink", f"none in {START_TIMEOUT_S} s", engine.home)
        time.sleep(POLL_S)


def _submit(engine: _Engine, manifest: Path, run_folder: Path, site_count: int) -> str:
    """Start the run and return its id. One actor owns every CPU: the sites run in turn."""
    config = engine.home / "run.toml"  # a file, because `-c` cannot quote every path
    config.write_text(f"run = {json.dumps(str(run_folder), ensure_ascii=False)}\n")
    cpu_count = torch.get_num_threads()
    federation = (
        f"num-supernodes={site_count} init-args-num-cpus={cpu_count} "
        f"client-resources-num-cpus={cpu_count}"
    )
    arguments = [str(manifest), "simulation", "-c", str(config), "--federation-config", federation]
    return str(engine.answer("run", *arguments)["run-id"])


def _lines(engine: _Engine, run_id: str) -> Iterator[str]:
    """Yield the run's log line by line until Flower says that the log is complete."""
    log = engine.home / "run.log"
    stream = _spawn(
        ["flwr", "log", run_id, "simulation", "--stream"],
        log,
        engine.environment,
        group=engine.processes[0].pid,
    )
    rest = ""
    with log.open(encoding="utf-8", errors="replace") as text:
        while True:
            ended = stream.poll() is not None
            *whole, rest = (rest + text.read()).split("\n")
            yield from (COLOUR.sub("", line) for line in whole if line)
            if ended:
                return
            engine.check_alive()
            time.sleep(POLL_S)


def _status(engine: _Engine, run_id: str) -> tuple[str, str]:
    """Return Flower's word on the run, such as `finished:failed`, and its details."""
    answer = json.loads(json.dumps(engine.answer("ls", "simulation", "--run-id", run_id)))
    run = answer["runs"][0]
    return str(run["status"]), str(run["status-details"])


def _refusal(expected: str, got: str, home: Path) -> RunStateError:
    return RunStateError(
        expected=expected,
        got=got,
        where=f"Flower's simulation engine, logs in {home.name}/",
        fix="Read superlink.log, superexec.log and run.log there, or use the inline engine",
    )
