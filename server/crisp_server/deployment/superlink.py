"""`python -m crisp_server.deployment.superlink`: Flower's SuperLink with a patient, calm database.

With five seconds of patience, as Flower has it, large messages end in "database is locked": the
SuperExec and the SuperNodes take that as final. And Flower writes to it at each look at a run,
several times for each part of each message, only to see whether a heartbeat is overdue.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from flwr.supercore import constant

BUSY_TIMEOUT_MS = 60_000
SWEEP = "_cleanup_expired_task_tokens"
SWEEP_S = 1.0
"""Heartbeats are overdue after a minute: this much later makes no difference."""


def main() -> None:
    """Serve until stopped; arguments are those of `flower-superlink`."""
    patient = {**dict(constant.SQLITE_PRAGMAS), "busy_timeout": str(BUSY_TIMEOUT_MS)}
    constant.SQLITE_PRAGMAS = tuple(patient.items())  # type: ignore[assignment] # its length is typed
    from flwr.supercore.corestate.sql_corestate import SqlCoreState  # noqa: PLC0415 - as below
    from flwr.superlink.cli import flower_superlink  # noqa: PLC0415 - reads the constant at import

    sweep = getattr(SqlCoreState, SWEEP)
    setattr(SqlCoreState, SWEEP, seldom(sweep))
    flower_superlink()


def seldom(sweep: Callable[[object], None]) -> Callable[[object], None]:
    """Let a sweep of the database through once in `SWEEP_S`."""
    last_s = -SWEEP_S

    def swept(state: object) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= SWEEP_S:
            last_s = time.monotonic()
            sweep(state)

    return swept


if __name__ == "__main__":
    main()
