"""Split a finished run's time: `python -m benchmarks.overhead runs/demo`."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from pathlib import Path

from benchmarks.findings import Findings, publish
from crisp_core.schema.summary import RunSummary
from crisp_server.store import RunFolder
from crisp_server.summary import summarise

TARGET = 0.05
NOTES = (
    "Wall time from the run's start to its last event; the sites' seconds are those they report.",
    "Before the first step: imports, and every site reads and prepares its cases.",
    "Between the steps: messages, loading weights, admission, average, states on disk, ledger.",
)


def times_s(run: RunFolder) -> tuple[float, float, float]:
    """Read when a run was started, took its first step and ended, in seconds of one clock."""
    lines = (run.path / "events.jsonl").read_text().splitlines()
    first, last = (json.loads(line)["time"] for line in (lines[0], lines[-1]))
    return datetime.fromisoformat(run.facts.started).timestamp(), first, last


def split(run: RunFolder, summary: RunSummary) -> dict[str, float]:
    """Return wall seconds by what they were spent on."""
    began, first, last = times_s(run)
    return {
        "sites train, make hints, measure": summary.site_seconds,
        "before the first step": first - began,
        "between the steps": last - first - summary.site_seconds,
        "outside the sites' compute": last - began - summary.site_seconds,
        "whole run": last - began,
    }


def main() -> None:
    """Write down where the wall clock of one uninterrupted run went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    run = RunFolder.open(parser.parse_args().run)
    summary = summarise(run)
    parts = split(run, summary)
    rows = [
        {
            "what": what,
            "wall seconds": seconds,
            "share": seconds / parts["whole run"],
            "wanted at most": TARGET if what.startswith("outside") else None,
        }
        for what, seconds in parts.items()
    ]
    what = f"Study {summary.study.name!r}, engine {summary.engine}, {len(summary.sites)} sites."
    publish(Findings("overhead", "Time outside the sites' compute", rows, (what, *NOTES)))


if __name__ == "__main__":
    main()
