"""Measure everything that needs no finished run: `python -m benchmarks`, or `make bench`.

`benchmarks.overhead` reads a finished run and is called by itself.
"""

from __future__ import annotations

import subprocess
import sys

MODULES = ("hd95_speed", "step_cost", "coordinator_memory")


def main() -> None:
    """Give each benchmark a process of its own: peaks and settings do not meet."""
    for module in MODULES:
        command = [sys.executable, "-m", f"benchmarks.{module}"]
        subprocess.run(command, check=True)  # noqa: S603 - our own words, no shell


if __name__ == "__main__":
    main()
