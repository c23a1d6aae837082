"""`python -m crisp_server.simulation.superlink`: a SuperLink that takes its group down with it.

It leads the process group of a simulation. When the process that started it is gone, even by
SIGKILL, nobody is left to stop Flower and Ray: so it kills the whole group, itself included.
"""

from __future__ import annotations

import os
import signal
import threading
import time

from flwr.superlink.cli import flower_superlink

WATCH_S = 0.5


def kill_group_without(parent: int) -> None:
    """Wait until `parent` is no longer our parent, then kill our process group."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Serve until stopped; arguments are those of `flower-superlink`."""
    threading.Thread(target=kill_group_without, args=(os.getppid(),), daemon=True).start()
    flower_superlink()


if __name__ == "__main__":
    main()
