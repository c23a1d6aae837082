"""The hospital's daemon: Flower's processes, kept alive and kept in bounds.

Only `supernode`, `executor` and `guard` know Flower, each running in a process of its own, and
only by names that are not its public API: hence exactly one version.
"""

from __future__ import annotations

from importlib.metadata import version

from crisp_core.errors import ProcessError

FLOWER_VERSION = "1.41.0"

if version("flwr") != FLOWER_VERSION:
    raise ProcessError(
        expected=f"flwr {FLOWER_VERSION}",
        got=f"flwr {version('flwr')}",
        where="the Python environment of this site",
        fix="Install the locked requirements of crisp-fl again",
    )
