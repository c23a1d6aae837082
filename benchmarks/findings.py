"""Measure ratios within one run, and write them down with what is needed to repeat them."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from crisp_core.arrays import FloatArray

RESULTS = Path(__file__).with_name("results")
Row = Mapping[str, str | int | float | None]


@dataclass(frozen=True)
class Findings:
    """A table of figures and how they came about.

    Attributes:
        name: File name in `results`, without its ending.
        title: One line.
        rows: The first one's keys become the columns; another may lack some.
        notes: What a reader must know to trust the figures, one sentence each.
    """

    name: str
    title: str
    rows: Sequence[Row]
    notes: Sequence[str]


def cpu_seconds(jobs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, FloatArray]:
    """Time each job once per repeat, one after the other, in CPU seconds of this process.

    CPU time and not wall time: a neighbour on the machine takes turns, it does not lengthen ours.

    Returns:
        float64 (repeats,) for each job; the same place in two of them is the same repeat.
    """
    seconds: dict[str, FloatArray] = {name: np.zeros(repeats) for name in jobs}
    for repeat in range(repeats):
        for name, job in jobs.items():
            began = time.process_time()
            job()
            seconds[name][repeat] = time.process_time() - began
    return seconds


def median(values: FloatArray) -> float:
    """Return the median as a number that JSON knows."""
    return float(np.median(values))


def in_fresh_process(module: str, *words: str | int) -> float:
    """Run `python -m benchmarks.<module> words…` alone and read the number that it prints.

    Blocks of 64 kB and more go back to the system as soon as they are free, so that resident
    memory is memory in use.
    """
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, words)]
    done = subprocess.run(  # noqa: S603 - our own words, no shell
        command, env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def memory_growth_mb(job: Callable[[], object]) -> float:
    """Return how far this process's peak memory rises above what it holds before the job, in MB.

    Linux only: the peak is reset through /proc and read back from there.
    """
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_mb("VmRSS")
    job()
    return _status_mb("VmHWM") - before


def _status_mb(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
    return kilobytes * 1024 / 1e6


def publish(findings: Findings) -> None:
    """Write the findings as JSON and as a Markdown page, and print the page."""
    RESULTS.mkdir(exist_ok=True)
    machine = _machine()
    page = _page(findings, machine)
    content = {
        "title": findings.title,
        "command": _command(),
        "machine": machine,
        "rows": [dict(row) for row in findings.rows],
        "notes": list(findings.notes),
    }
    (RESULTS / f"{findings.name}.json").write_text(json.dumps(content, indent=1) + "\n")
    (RESULTS / f"{findings.name}.md").write_text(page)
    print(page)


def _page(findings: Findings, machine: Mapping[str, str | int]) -> str:
    columns = list(findings.rows[0])
    lines = [columns, ["---"] * len(columns)]
    lines += [[_cell(row.get(column)) for column in columns] for row in findings.rows]
    facts = ", ".join(f"{key} {value}" for key, value in machine.items())
    return "\n".join(
        [
            f"# {findings.title}",
            "",
            *(f"| {' | '.join(line)} |" for line in lines),
            "",
            *(f"- {note}" for note in findings.notes),
            f"- Machine: {facts}.",
            f"- Made by `{_command()}`.",
            "",
        ]
    )


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _command() -> str:
    module = Path(sys.argv[0]).stem
    name = "benchmarks" if module == "__main__" else f"benchmarks.{module}"
    return shlex.join(["python", "-m", name, *sys.argv[1:]])


def _machine() -> dict[str, str | int]:
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count() or 1,
        "load average": f"{os.getloadavg()[0]:.1f}",
        "torch threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "scipy")},
    }
