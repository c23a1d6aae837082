"""Process groups: who is in one, is it still the one we started, and its certain end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
POLL_S = 0.05
KILL_WAIT_S = 2.0
MARK = "CRISP_SUPERVISED_BY"
"""Environment variable by which a child's children are known when the child itself is gone."""
_STATE, _GROUP, _START = 0, 2, 19  # places in /proc/PID/stat after the name


@dataclass(frozen=True)
class Group:
    """A process group as we started it: its leader's pid and when that process began.

    `born` is the machine's boot and the kernel's clock tick: no two processes share pid and birth.
    """

    pid: int
    born: str


def group_of(pid: int) -> Group:
    """Return the group that the living process `pid` leads."""
    return Group(pid, _born(pid))


def end_groups(groups: Iterable[Group], grace_s: float) -> None:
    """Ask every group to end, wait at most `grace_s` seconds for all, then kill what is left.

    The caller answers for the groups being its own: see `is_ours`.
    """
    left = [group for group in groups if _signal(group, signal.SIGTERM)]
    left = _wait_for(left, grace_s)
    for group in left:
        _signal(group, signal.SIGKILL)
    _wait_for(left, KILL_WAIT_S)


def is_alive(group: Group) -> bool:
    """Say whether the group has a member that is not a zombie."""
    return any(True for _ in _members(group.pid)) if PROC.is_dir() else _signal(group, 0)


def is_ours(group: Group, mark: str) -> bool:
    """Say whether a group of an earlier life is still the one that was started then.

    Its leader lives and was born at the same moment; or the leader is gone and a member carries
    our `mark`. A number that has gone to another process since is nobody of ours.
    """
    born = _born(group.pid)
    if born:
        return born == group.born
    return any(_carries(member, mark) for member in _members(group.pid))


def _wait_for(groups: list[Group], limit_s: float) -> list[Group]:
    """Wait until the groups have ended; return those that have not in `limit_s` seconds."""
    deadline = time.monotonic() + limit_s
    while left := [group for group in groups if is_alive(group)]:
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_S)
    return left


def _signal(group: Group, number: int) -> bool:
    try:
        os.killpg(group.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _born(pid: int) -> str:
    """Return when `pid` began; empty if it has ended or the system does not say."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    fields = _stat(pid)
    return f"{boot} {fields[_START]}" if fields and fields[_STATE] not in "ZX" else ""


def _members(group: int) -> Iterator[int]:
    """Yield the pids of the living members of process group `group`."""
    for folder in PROC.glob("[0-9]*"):
        fields = _stat(int(folder.name))
        if fields and fields[_STATE] not in "ZX" and int(fields[_GROUP]) == group:
            yield int(folder.name)


def _stat(pid: int) -> list[str]:
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _carries(pid: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
