"""Who holds a lock: the process that conducts a run is known by that of its run folder.

Whether it is held is read from the kernel's list: trying the lock
would be in its way.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from crisp_server.store import RunFolder

LOCKS = Path("/proc/locks")
STOP_GRACE_S = 10.0
_POLL_S = 0.1
_KIND, _PID, _PLACE = 1, 4, 5  # words of a line of /proc/locks


def conductor(run: RunFolder) -> int | None:
    """Return the pid of the process that conducts the run, None if nobody does."""
    return holder(run.path / ".lock")


def holder(path: Path) -> int | None:
    """Return the pid of the process that holds the lock file `path`, None if nobody does."""
    if not path.exists():
        return None
    inode = str(path.stat().st_ino)
    for line in LOCKS.read_text(encoding="ascii").splitlines():
        words = line.split()
        if words[_KIND] == "FLOCK" and words[_PLACE].rpartition(":")[2] == inode:
            pid = int(words[_PID])
            if _has_open(pid, path):
                return pid
    return None


def end(run: RunFolder, grace_s: float = STOP_GRACE_S) -> None:
    """End the process that conducts the run, politely, then for certain."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        pid = conductor(run)
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + grace_s
        while conductor(run) == pid and time.monotonic() < deadline:
            time.sleep(_POLL_S)


def _has_open(pid: int, path: Path) -> bool:
    """Tell whether the process has this very file open: an inode's number is unique on one disk."""
    with suppress(OSError):
        handles = (Path("/proc") / str(pid) / "fd").iterdir()
        return any(_is_same(handle, path) for handle in handles)
    return False


def _is_same(handle: Path, path: Path) -> bool:
    with suppress(OSError):
        return handle.samefile(path)
    return False
