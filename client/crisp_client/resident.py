"""`python -m crisp_client.resident HOME`: one process that keeps torch, data and GPU warm.

Flower starts a new process for every message; this one does the work for them, one request at a
time. Nothing depends on it: where nobody answers, the message's own process computes the same.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from crisp_client.errand import (
    BROKEN,
    insist_on_same_user,
    received_request,
    send_departure,
    short_address,
)
from crisp_client.home import SiteHome
from crisp_core.errors import CrispError, ProcessError
from crisp_core.processes.leash import leave_with

SILENCE_S = 60.0
"""A client that connects and says nothing must not keep the others waiting."""


def main() -> None:
    """Serve until SIGTERM, or until the process that started this one is gone."""
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # read when torch is first imported
    signal.signal(signal.SIGTERM, _leave)
    leave_with(os.getppid())
    try:
        serve(SiteHome(Path(sys.argv[1])).resident)
    except CrispError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from None


def serve(socket_path: Path) -> None:
    """Answer requests at a socket, one after the other.

    Raises:
        ProcessError: If another resident serves there.
    """
    from crisp_client import actions  # noqa: F401, PLC0415 - torch waits for GOMP_SPINCOUNT

    with _listening(socket_path) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                _serve_one(connection)


def _serve_one(connection: socket.socket) -> None:
    """Do what one client asks; one that hangs up midway loses its answer and nothing else."""
    from crisp_client.actions import answered  # noqa: PLC0415 - as above
    from crisp_client.cases import forget_cases  # noqa: PLC0415 - as above

    connection.settimeout(SILENCE_S)
    try:
        insist_on_same_user(connection)
        request = received_request(connection)
    except BROKEN as error:
        sys.stderr.write(f"a client was not understood: {type(error).__name__}\n")
        return
    if request.action == "describe":
        forget_cases()  # a run begins: its data may have changed since the last one
    departure = answered(request)
    with suppress(OSError):
        send_departure(connection, departure)


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """Listen at `path`, for this user alone, in place of a resident that was killed."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.with_suffix(".lock").open("w") as lock, socket.socket(socket.AF_UNIX) as server:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProcessError(
                expected="one resident process a site",
                got="a second",
                where=str(path),
                fix="Stop the other one, or leave it at its work",
            ) from None
        path.unlink(missing_ok=True)
        old = os.umask(0o177)
        with short_address(path) as address:
            server.bind(address)
        os.umask(old)
        server.listen()
        try:
            yield server
        finally:
            path.unlink(missing_ok=True)


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise SystemExit(0)


if __name__ == "__main__":
    main()
