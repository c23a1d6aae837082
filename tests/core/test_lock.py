from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crisp_core.errors import ProcessError
from crisp_core.processes.lock import only_one

HOLD = """
import sys, time
from pathlib import Path
from crisp_core.processes.lock import only_one
with only_one(Path(sys.argv[1]), "daemon"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_owner_is_refused_and_a_killed_one_leaves_the_lock_free(tmp_path: Path) -> None:
    lock = tmp_path / "running" / "lock"
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(ProcessError, match=f"process {owner.pid}"), only_one(lock, "daemon"):
            pass
        owner.kill()

    with only_one(lock, "daemon"):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "running").write_text("")

    with (
        pytest.raises(ProcessError, match="can be written"),
        only_one(tmp_path / "running" / "a.lock", "daemon of this home"),
    ):
        pass
