"""One of a kind: a folder that only one process may serve."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crisp_core.errors import ProcessError


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path`; the system gives it back however this process ends.

    Args:
        path: The lock file, made if absent; afterwards it holds the pid of its last owner.
        what: What there may be one of, for the message, such as "daemon of this home".

    Raises:
        ProcessError: If another process holds it.
    """
    handle = _opened(path)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(handle, 32, 0).decode(errors="replace").strip()
            raise ProcessError(
                expected=f"no other {what}",
                got=f"one that runs already, process {owner}",
                where=str(path),
                fix="Stop that one first, or leave it to its work",
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ProcessError(
            expected="a folder that can be written",
            got=error.strerror or "an error of the disk",
            where=str(path.parent),
            fix="Free space, mend its rights, or name another --home",
        ) from None
