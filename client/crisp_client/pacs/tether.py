"""Runs a command that ends when whoever started it does: `python -m crisp_client.pacs.tether …`."""

from __future__ import annotations

import subprocess
import sys

from crisp_core.processes.leash import end_with_parent

GRACE_S = 2.0

if __name__ == "__main__":
    end_with_parent(GRACE_S)
    sys.exit(subprocess.call(sys.argv[1:]))  # noqa: S603 - the hospital's own command
