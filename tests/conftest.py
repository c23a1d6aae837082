"""How the tests share two cores: `pytest -n auto`, as `make test` calls it.

One worker has everything that starts Flower's processes, which fill a core and more by themselves
and wait for one another; the other has the rest, file by file, so that what a file or Orthanc
prepares is prepared once. Where a worker is done, it takes what is left.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[1]
IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
AT_MOST = 2
"""More workers would wait for the one with Flower's processes."""

if IS_WORKER:  # before torch is imported: a thread a worker, and none that spins while it waits
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


@cache
def group(path: str) -> str:
    """Name what a test file shares a worker with; `path` is relative to the repository."""
    if path.startswith("tests/pacs/"):
        return "pacs"
    return "flower" if "pytest.mark.flower" in (ROOT / path).read_text() else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    linux = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if linux else os.cpu_count() or 1
    return min(AT_MOST, cores) if cores > 1 else 0  # 0: no worker, one process as ever


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid.split("::", maxsplit=1)[0])

    config.option.loadscopereorder = False  # the order is made below
    return ByGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put Flower's processes first, then the other slow files: the small ones fill what is left."""
    if not IS_WORKER:
        return
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(
        key=lambda item: (group(item.nodeid.split("::")[0]) != "flower", item.path not in slow)
    )
