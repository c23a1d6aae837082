"""Import everything once, then fork a process per line of stdin: `FOLDER` carries that run on.

A fork starts in milliseconds where a new interpreter needs seconds; it is killed like any process.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import crisp_client.actions
import crisp_client.flower
from crisp_core.report.page import write_report
from crisp_server.simulate import carry_on
from crisp_server.store import RunFolder

LOADED = (crisp_client.actions, crisp_client.flower, write_report)


def main() -> None:
    print("ready", flush=True)  # noqa: T201 - the protocol with the test
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _carry(Path(line.strip()))
        print(child, flush=True)  # noqa: T201 - the protocol with the test
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - likewise


def _carry(folder: Path) -> None:
    try:
        carry_on(RunFolder.open(folder), lambda _: None)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
