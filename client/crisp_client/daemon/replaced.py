"""Names in Flower's modules that we fill with our own: each must be there, or all is off."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TypeVar

from crisp_client.daemon import FLOWER_VERSION
from crisp_core.errors import ProcessError

Pulled = TypeVar("Pulled")
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 2.0


def quick(pull: Callable[..., Pulled]) -> Callable[..., Pulled]:
    """Let Flower's `pull` wait less for the parts of a message, which is announced before them.

    It asks for a part that is not there yet again after 1, 2, … 10 s, at most 500 times. Within its
    two hours the count does not matter.
    """
    waits = {"initial_backoff": FIRST_WAIT_S, "backoff_cap": LONGEST_WAIT_S}
    return partial(pull, max_tries_per_object=None, **waits)


def replace_names(module: ModuleType, **ours: object) -> None:
    """Put each of `ours` in the place of the same name in `module`.

    Raises:
        ProcessError: If the module has no such name: our replacement would change nothing.
    """
    absent = sorted(set(ours) - set(vars(module)))
    if absent:
        raise ProcessError(
            expected=f"the names of flwr {FLOWER_VERSION}",
            got=f"none called {absent}",
            where=module.__name__,
            fix="Install the locked requirements of crisp-fl again",
        )
    vars(module).update(ours)
