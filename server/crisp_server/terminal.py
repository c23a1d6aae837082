"""What one sees while a federation runs: one bar for the study, one line a site."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeftColumn
from rich.table import Table

from crisp_core.schema.study import Study
from crisp_server.events import read_events
from crisp_server.steps import round_plan

LOOK_EVERY_S = 0.25
SPEED_OVER_S = 24 * 3600.0  # a step can take hours: all of them count for the time left
_DOING = {
    "describe": "describing its data",
    "train": "training",
    "hints": "making hints",
    "evaluate": "measuring",
}
_DONE = {
    "describe": "described",
    "train": "trained",
    "hints": "hints made",
    "evaluate": "measured",
}
_ASKED = "online again, asked …"


def step_count(study: Study) -> int:
    """Count the steps of a whole study: the length of its bar."""
    generations = study.crisp.generations
    hint_steps = 0 if study.crisp.hint == "none" else generations - 1
    return 2 + hint_steps + len(round_plan(study)) + generations


@contextmanager
def watching(
    study: Study, events: Path, console: Console, title: str, *, whole: bool = False
) -> Iterator[None]:
    """Show the run whose events appear in `events` until the block ends.

    With `whole`, what happened before is shown too.
    """
    view = _View(study, title)
    stop = threading.Event()
    start = events.stat().st_size if events.exists() and not whole else 0
    with Live(view.drawn(), console=console, refresh_per_second=4) as live:
        thread = threading.Thread(
            target=_follow, args=(events, view, live, stop, start), daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            live.update(view.drawn())
            live.stop()
            if not console.is_terminal:
                console.print()  # rich ends a view that is not on a terminal without a new line


def _follow(events: Path, view: _View, live: Live, stop: threading.Event, position: int) -> None:
    while True:
        last_look = stop.is_set()
        told, position = read_events(events, position)
        for event in told:
            view.note(event)
        if told:
            live.update(view.drawn())
        if last_look:
            return
        stop.wait(LOOK_EVERY_S)


class _View:
    """Bar and site lines; changed only by `note`."""

    def __init__(self, study: Study, title: str) -> None:
        self._study = study
        self._sites = dict.fromkeys((*study.sources, *study.held_out), "waiting")
        self._absent: set[str] = set()
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeLeftColumn(),
            speed_estimate_period=SPEED_OVER_S,
        )
        self._task = self._bar.add_task(title, total=step_count(study))

    def note(self, event: dict[str, Any]) -> None:
        """Take in one event of the run."""
        kind = event["event"]
        if kind in ("started", "saved"):
            self._bar.update(self._task, completed=event["steps_done"])
        elif kind == "asked":
            self._sites.update(dict.fromkeys(event["sites"], _DOING[event["action"]] + " …"))
        elif kind == "absent":
            self._sites.update(dict.fromkeys(self._absent - set(event["sites"]), _ASKED))
            self._absent = set(event["sites"])
            self._sites.update(dict.fromkeys(event["sites"], "[yellow]not online, looked for …"))
        elif kind == "answered":
            said = f"[red]{escape(event['fault'])}" if event["fault"] else _DONE[event["action"]]
            self._sites[event["site"]] = said
        elif kind == "finished":
            self._bar.update(self._task, completed=step_count(self._study))

    def drawn(self) -> Group:
        """Draw the present state."""
        table = Table.grid(padding=(0, 2))
        for site, state in self._sites.items():
            role = self._study.sites[site].role
            table.add_row(f"  {site}", f"[dim]{role}", state)
        return Group(self._bar, table)
