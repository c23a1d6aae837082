from __future__ import annotations

import subprocess
import sys
import time

from crisp_core.processes.groups import Group, is_alive

CHILD = """
import signal, sys, time
from crisp_core.processes.leash import end_with_parent
if sys.argv[1] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
end_with_parent(grace_s=0.5)
print("ready", flush=True)
time.sleep(600)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen(
    [sys.executable, "-c", sys.argv[1], sys.argv[2]], start_new_session=True, stdout=subprocess.PIPE
)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_child_ends_with_its_killed_parent_even_if_it_ignores_being_asked() -> None:
    for manner in ("polite", "deaf"):
        command = [sys.executable, "-c", PARENT, CHILD, manner]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            child = Group(int(parent.stdout.readline()), "")
            assert is_alive(child)
            parent.kill()

        deadline = time.monotonic() + 10
        while is_alive(child) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_alive(child)
