"""`python -m crisp_client.daemon.executor`: Flower's SuperExec, which runs our guard only.

Flower's own starts whatever kind of task the coordinator asks for (agents, connectors, models) by
the name of a command on PATH, with the task's token where every user of the machine can read it.
Arguments are those of `flower-superexec`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass

from flwr.supercore.cli.flower_superexec import flower_superexec
from flwr.supercore.constant import TaskType
from flwr.supercore.retry import RetryInvoker, constant, make_simple_http_retry_invoker
from flwr.supercore.superexec import run_superexec
from flwr.supercore.superexec.executor import ExecutionSpec, LaunchResult

from crisp_client.daemon.replaced import replace_names
from crisp_core.processes.leash import end_with_parent

GUARD = (sys.executable, "-P", "-m", "crisp_client.daemon.guard")
RETRY_S = 1.0
GUARDED = {TaskType.CLIENT_APP, TaskType.AGENT_APP}
"""An agent never gets past the guard: it is let in to be refused with an answer."""


def main() -> None:
    """Take tasks until stopped."""
    end_with_parent()
    replace_names(
        run_superexec,
        get_executor=lambda *_, **__: GuardedExecutor(),
        make_simple_http_retry_invoker=_quick_retries,
    )
    flower_superexec()


def _quick_retries() -> RetryInvoker:
    """Return Flower's retries at a steady pace: the SuperNode next door is back in seconds."""
    retries = make_simple_http_retry_invoker()
    retries.wait_gen_factory = lambda: constant(RETRY_S)
    return retries


@dataclass
class GuardedExecutor:
    """Hands tasks to one guard, which waits with everything imported."""

    _guard: subprocess.Popen[bytes] | None = None

    def get_eligible_capacity(
        self, supported_task_types: set[TaskType], **_: object
    ) -> tuple[set[TaskType], set[str]]:
        """Take every kind of task, so that none waits in vain: see `launch`."""
        return supported_task_types, set()

    def wait_for_capacity(self, *_: object, **__: object) -> None:
        """Return at once."""

    def launch(self, spec: ExecutionSpec) -> LaunchResult:
        """Hand the task to the guard; refuse what is no app."""
        if spec.task_type not in GUARDED:
            return LaunchResult.failed(f"This site runs no {spec.task_type}")
        self.reconcile()
        task = {"address": spec.runtime_api_address, "token": spec.token}
        if self._guard is None or self._guard.stdin is None:
            return LaunchResult.failed("No guard could be started")
        try:
            self._guard.stdin.write(json.dumps(task).encode() + b"\n")
            self._guard.stdin.flush()
        except OSError:
            return LaunchResult.failed("The guard has just died")
        return LaunchResult.accepted()

    def reconcile(self) -> None:
        """See to it that a guard waits."""
        if self._guard is not None and self._guard.poll() is None:
            return
        self.close()
        self._guard = subprocess.Popen(GUARD, stdin=subprocess.PIPE)  # noqa: S603 - fixed words

    def close(self) -> None:
        """Dismiss the guard."""
        if self._guard is not None and self._guard.stdin is not None:
            with suppress(OSError):  # a task that it never read
                self._guard.stdin.close()


if __name__ == "__main__":
    main()
