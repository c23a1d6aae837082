"""The guard as a process: each task in a copy of its own, none of which outlives it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from crisp_client.daemon.executor import GUARD

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@pytest.fixture
def supernode() -> Iterator[socket.socket]:
    """A SuperNode's port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


@pytest.fixture
def guard() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(GUARD, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()
    with suppress(ValueError):  # closed by the test
        process.stdin.detach().close()


def task(listener: socket.socket, token: str = "t" * 64) -> bytes:
    host, port = listener.getsockname()
    return json.dumps({"address": f"{host}:{port}", "token": token}).encode() + b"\n"


def copies(guard: subprocess.Popen[bytes]) -> list[int]:
    path = Path(f"/proc/{guard.pid}/task/{guard.pid}/children")
    return [int(word) for word in path.read_text().split()]


def test_each_task_has_a_process_of_its_own_and_its_token_on_no_command_line(
    supernode: socket.socket, guard: subprocess.Popen[bytes]
) -> None:
    guard.stdin.write(task(supernode) + task(supernode))
    guard.stdin.flush()

    with supernode.accept()[0], supernode.accept()[0]:
        both = copies(guard)
        assert len(both) == 2
        words = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (guard.pid, *both)]
        assert not any(b"ttt" in line for line in words)


def test_a_killed_guard_takes_its_tasks_along_and_is_seen_to_be_dead(
    supernode: socket.socket, guard: subprocess.Popen[bytes]
) -> None:
    guard.stdin.write(task(supernode))
    guard.stdin.flush()
    with supernode.accept()[0]:
        [copy] = copies(guard)

        guard.send_signal(signal.SIGKILL)
        guard.wait()

        with pytest.raises(BrokenPipeError):
            guard.stdin.raw.write(task(supernode))
    assert ended(copy)


def test_a_guard_whose_executor_is_gone_ends(guard: subprocess.Popen[bytes]) -> None:
    guard.stdin.close()

    assert guard.wait(30) == 0


def ended(pid: int, limit_s: float = 15) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.1)
    return False
