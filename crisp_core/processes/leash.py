"""A child that does not outlive whoever started it, even by a kill that cannot be caught."""

from __future__ import annotations

import os
import signal
import threading
import time

WATCH_S = 0.5
GRACE_S = 10.0


def end_with_parent(grace_s: float = GRACE_S) -> None:
    """Watch from a thread; when our parent has gone, end our whole process group.

    For a child that leads its group, such as a supervisor's: the group is asked first and killed
    `grace_s` seconds later.
    """
    parent = os.getppid()
    threading.Thread(target=_watch, args=(parent, grace_s), name="leash", daemon=True).start()


def leave_with(parent: int) -> None:
    """Watch from a thread; when our parent has gone, ask our own process to end, nobody else's."""
    threading.Thread(target=_leave, args=(parent,), name="leash", daemon=True).start()


def _leave(parent: int) -> None:
    _wait_for_the_end_of(parent)
    os.kill(os.getpid(), signal.SIGTERM)  # to the process: it wakes a main thread that waits


def _watch(parent: int, grace_s: float) -> None:
    _wait_for_the_end_of(parent)
    os.killpg(0, signal.SIGTERM)
    time.sleep(grace_s)
    os.killpg(0, signal.SIGKILL)


def _wait_for_the_end_of(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_S)
