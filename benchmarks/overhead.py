"""Split a finished run's time: `python -m benchmarks.overhead runs/demo`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.findings import Findings, publish
from crisp_server.store import RunFolder
from crisp_server.summary import summarise

TARGET = 0.05
NOTES = (
    "Wall time from the run's event log; the sites' seconds are those that they report.",
    "Everything else: messages, loading weights, admission, average, states on disk, ledger.",
    "Imports before the first step and the report after the last one are not in it.",
)


def event_times_s(folder: Path, action: str | None = None) -> list[float]:
    """Read when each event happened; `action` keeps those of one kind of question."""
    events = map(json.loads, (folder / "events.jsonl").read_text().splitlines())
    return [event["time"] for event in events if action in {None, event.get("action")}]


def main() -> None:
    """Write down where the wall clock of one run went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    folder = parser.parse_args().run
    summary = summarise(RunFolder.open(folder))
    whole_s, preparing_s = (
        times_s[-1] - times_s[0]
        for times_s in (event_times_s(folder), event_times_s(folder, "describe"))
    )
    parts = {
        "sites train, make hints, measure": summary.site_seconds,
        "sites read and prepare their cases": preparing_s,
        "everything else": whole_s - summary.site_seconds - preparing_s,
        "whole run": whole_s,
    }
    rows = [
        {
            "what": what,
            "wall seconds": seconds,
            "share": seconds / whole_s,
            "wanted at most": TARGET if what == "everything else" else None,
        }
        for what, seconds in parts.items()
    ]
    what = f"Study {summary.study.name!r}, engine {summary.engine}, {len(summary.sites)} sites."
    publish(Findings("overhead", "Time outside the sites' compute", rows, (what, *NOTES)))


if __name__ == "__main__":
    main()
