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


def _watch(parent: int, grace_s: float) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os.killpg(0, signal.SIGTERM)
    time.sleep(grace_s)
    os.killpg(0, signal.SIGKILL)
