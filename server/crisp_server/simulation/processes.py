"""Flower's processes for one simulation: on 127.0.0.1 only, in one process group, gone with it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from crisp_core.errors import RunStateError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0
POLL_S = 0.25


@dataclass(frozen=True)
class FlowerProcesses:
    """A running SuperLink (first, leader of the group) and SuperExec."""

    home: Path
    environment: dict[str, str]
    running: list[subprocess.Popen[bytes]]

    def spawn(self, *command: str, log: str) -> subprocess.Popen[bytes]:
        """Start one more process in the group, its output in the file `log`."""
        group = self.running[0].pid if self.running else 0
        with (self.home / log).open("wb") as sink:
            process = subprocess.Popen(  # noqa: S603 - our own words, no shell
                command,
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                process_group=group,
            )
        self.running.append(process)
        return process

    def check_alive(self) -> None:
        """Raise if the SuperLink or the SuperExec has died: nothing restarts them."""
        for process in self.running[:2]:
            if process.poll() is not None:
                raise engine_error(
                    expected="Flower's processes alive", got=f"exit code {process.returncode}"
                )

    def wait_untillistening(self, port: int) -> None:
        """Return when 127.0.0.1:`port` accepts connections."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not listening(port):
            self.check_alive()
            if time.monotonic() > deadline:
                raise engine_error(
                    expected="a listening SuperLink", got=f"none after {START_TIMEOUT_S:.0f} s"
                )
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End the whole group, politely, then for certain: Ray's processes outlive their parents.

        A group of nothing but zombies counts as ended after the same time.
        """
        group = self.running[0].pid
        try:
            _signal_group(group, signal.SIGTERM)
            _wait_until(lambda: all(p.poll() is not None for p in self.running))
        finally:
            _signal_group(group, signal.SIGKILL)
            for process in self.running:
                process.wait()
            _wait_until(lambda: not _signal_group(group, 0))


@contextlib.contextmanager
def flower_processes(home: Path) -> Iterator[FlowerProcesses]:
    """Start a private SuperLink and SuperExec with `home` as FLWR_HOME; stop all on the way out.

    `flwr` finds them as connection `simulation`. The secret keeps other users of the machine from
    taking the run's tasks; whoever may connect to 127.0.0.1 can still submit runs, as Flower's
    Control API has no password.
    """
    home.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="crisp-") as scratch:
        flower = FlowerProcesses(home, _environment(home, scratch), [])
        port = free_port()
        try:
            _start(flower, port, Path(scratch) / "secret")
            yield flower
        finally:
            if flower.running:
                flower.stop()


def engine_error(*, expected: str, got: str) -> RunStateError:
    """Return the error for anything that goes wrong in Flower's own processes."""
    return RunStateError(
        expected=expected,
        got=got,
        where="Flower's simulation engine",
        fix="Read the logs in the run folder's flower/, or use the inline engine",
    )


def _start(flower: FlowerProcesses, port: int, secret: Path) -> None:
    secret.touch(mode=0o600)
    secret.write_bytes(secrets.token_bytes(32))
    _write_connection(flower.home, port)
    shared = ["--insecure", "--superexec-auth-secret-file", str(secret)]
    link = [sys.executable, "-P", "-m", "crisp_server.simulation.superlink", *shared]
    link += ["--simulation", "--isolation", "process", "--disable-runtime-dependency-installation"]
    flower.spawn(*link, "--host", "127.0.0.1", "--port", str(port), log="superlink.log")
    execute = ["flower-superexec", *shared, "--runtime-api-address", f"127.0.0.1:{port}"]
    flower.spawn(*execute, log="superexec.log")
    flower.wait_untillistening(port)


def flower_environment(home: Path) -> dict[str, str]:
    """Return our environment without foreign Flower and Ray settings, with `home` as FLWR_HOME.

    Nothing goes through a proxy: all that is spoken to is on this machine.
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
    }


def _environment(home: Path, scratch: str) -> dict[str, str]:
    """Return the environment of a simulation.

    Ray binds every interface unless it is told that there are no clusters, hides the GPU from an
    actor that reserves none, and needs a short path for its sockets.
    """
    return flower_environment(home) | {
        "RAY_TMPDIR": scratch,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_COLOR_PREFIX": "0",
        "RAY_DEDUP_LOGS": "0",
        "RAY_worker_niceness": "0",  # Ray's 15 starves the sites beside any other job
    }


def _write_connection(home: Path, port: int) -> None:
    (home / "config.toml").write_text(
        '[superlink]\ndefault = "simulation"\n\n[superlink.simulation]\n'
        f'address = "127.0.0.1:{port}"\ninsecure = true\n'
    )


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def listening(port: int) -> bool:
    """Tell whether 127.0.0.1:`port` accepts connections."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), POLL_S):
        return True
    return False


def _signal_group(group: int, number: int) -> bool:
    """Send a signal (0: none) to a process group; False if the group is empty."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while not done() and time.monotonic() < deadline:
        time.sleep(POLL_S)
