"""The federations of `tests/federation`, real processes on network namespaces, for measurements."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from crisp_core.errors import CrispError

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from federation.deployment import (  # type: ignore[import-not-found]
    COORDINATOR,
    Federation,
    Run,
    federation,
    small_study,
)

__all__ = ["COORDINATOR", "Federation", "Process", "Run", "on_hosts", "processes", "small_study"]

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
COORDINATORS = ("superlink", "superexec", "nginx")
HOSPITALS = ("supernode", "executor", "resident")


@contextmanager
def on_hosts(tables: dict[str, Any]) -> Iterator[Federation]:
    """Bring up one namespace a host in a folder that goes away; nothing runs on them yet."""
    with (
        TemporaryDirectory(prefix="crisp-") as folder,
        federation(Path(folder), tables=tables) as all_,
    ):
        yield all_


@dataclass(frozen=True)
class Process:
    """One supervised process with all that it has started: memory and CPU time so far."""

    name: str
    resident_mb: float
    cpu_s: float


def processes(whole: Federation, place: str) -> list[Process]:
    """Return who runs on a host, each with its descendants that are not named themselves.

    A copy of its parent is left out: the guard makes one for each task, which ends with it.
    """
    names = _names(whole, place)
    found: dict[str, list[int]] = {name: [] for name in names.values()}
    for process_id in whole.net[place].process_ids():
        if (owner := _owner(process_id, names)) and not _is_copy(process_id):
            found[owner].append(process_id)
    return [_measured(name, process_ids) for name, process_ids in found.items() if process_ids]


def _names(whole: Federation, place: str) -> dict[int, str]:
    """Name the processes that we know; process -> name."""
    if place != COORDINATOR:
        children = {whole.process_id(place, child): child for child in _present(whole, place)}
        return {whole.process_id(place, "daemon"): "crisp-client start", **children}
    up = whole.started[f"{COORDINATOR}-up"].process.pid
    names = {up: "crisp up", **{whole.process_id(place, child): child for child in COORDINATORS}}
    with suppress(CrispError, OSError):  # there may be no run
        names[whole.process_id(place, "serverapp")] = "ServerApp"
    return {process_id: name for process_id, name in names.items() if process_id}


def _present(whole: Federation, place: str) -> list[str]:
    text = (whole.site_home(place).running / "children.json").read_text()
    return [child for child in HOSPITALS if f'"{child}"' in text]


def _owner(process_id: int, names: dict[int, str]) -> str:
    """Return the nearest ancestor's name; empty if there is none."""
    while process_id > 1:
        if process_id in names:
            return names[process_id]
        process_id = _parent(process_id)
    return ""


def _is_copy(process_id: int) -> bool:
    with suppress(OSError):
        return _words(process_id) == _words(_parent(process_id))
    return False


def _words(process_id: int) -> bytes:
    return Path(f"/proc/{process_id}/cmdline").read_bytes()


def _parent(process_id: int) -> int:
    with suppress(OSError):
        return int(_stat(process_id)[1])
    return 0


def _stat(process_id: int) -> list[str]:
    """Return the fields of /proc/N/stat from the third on."""
    return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()


def cpu_s(process_id: int) -> float:
    """Return the CPU seconds that a process has taken; 0 if it is gone."""
    with suppress(OSError):
        fields = _stat(process_id)
        return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND
    return 0.0


def _resident_mb(process_id: int) -> float:
    with suppress(OSError):
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text())
        return int(found[1]) * 1024 / 1e6 if found else 0.0
    return 0.0


def _measured(name: str, process_ids: list[int]) -> Process:
    return Process(name, sum(map(_resident_mb, process_ids)), sum(map(cpu_s, process_ids)))


def share_of_cpu(whole: Federation, place: str, seconds: float) -> dict[str, float]:
    """Watch a host for some seconds; name -> share of one core."""
    before = {one.name: one.cpu_s for one in processes(whole, place)}
    time.sleep(seconds)
    return {one.name: (one.cpu_s - before[one.name]) / seconds for one in processes(whole, place)}
