"""Names in Flower's modules that we fill with our own: each must be there, or all is off."""

from __future__ import annotations

from types import ModuleType

from crisp_client.daemon import FLOWER_VERSION
from crisp_core.errors import ProcessError


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
