"""`python -m crisp_server.deployment.superlink`: Flower's SuperLink with a patient database.

With five seconds of patience, as Flower has it, large messages end in "database is locked": the
SuperExec and the SuperNodes take that as final.
"""

from __future__ import annotations

from flwr.supercore import constant

BUSY_TIMEOUT_MS = 60_000


def main() -> None:
    """Serve until stopped; arguments are those of `flower-superlink`."""
    patient = {**dict(constant.SQLITE_PRAGMAS), "busy_timeout": str(BUSY_TIMEOUT_MS)}
    constant.SQLITE_PRAGMAS = tuple(patient.items())  # type: ignore[assignment] # its length is typed
    from flwr.superlink.cli import flower_superlink  # noqa: PLC0415 - reads the constant at import

    flower_superlink()


if __name__ == "__main__":
    main()
