"""What happens, as it happens: one JSON line an event, for whoever watches the run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from crisp_core.arrays import Parameters
from crisp_core.errors import CrispError, RunStateError
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.record import Action
from crisp_server.sites import SiteReply, Sites


class EventLog:
    """Append-only JSON lines beside the run; losing the last one loses nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - any JSON value
        """Add one line with the wall-clock time."""
        line = json.dumps({"time": round(time.time(), 3), "event": event, **fields})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def write_failure(self, error: CrispError) -> None:
        """Add what ended the run, such that `failure_in` can say it again."""
        parts = {"expected": error.expected, "got": error.got, "where": error.where}
        self.write("failed", sentence=str(error), code=error.code, fix=error.fix, **parts)


def read_events(path: Path, start: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Return the events from byte `start` on, and the byte behind the last whole line.

    A line that a kill or the disk has damaged is left out; an absent file has no events.
    """
    if not path.is_file():
        return [], start
    with path.open("rb") as file:
        file.seek(start)
        text = file.read()
    end = text.rfind(b"\n") + 1
    events = []
    for line in text[:end].splitlines():
        with suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                events.append(event)
    return events, start + end


def failure_in(path: Path, again: str) -> CrispError:
    """Return the error that ended a run, as its last event tells it.

    Args:
        path: The run's events.
        again: The command that continues the run, named unless the error's own cure ends so.
    """
    events, _ = read_events(path)
    told = events[-1] if events else {}
    kinds = {kind.code: kind for kind in CrispError.__subclasses__()}
    parts = {name: str(told.get(name, "")) for name in ("expected", "got", "where", "fix")}
    if told.get("code") not in kinds:
        parts = {
            "expected": "a run that comes to its end",
            "got": str(told.get("sentence", "an end without a reason")).rstrip("."),
            "where": str(path.parent),
            "fix": "Mend it",
        }
    parts["fix"] = f"{parts['fix'].removesuffix(', then `crisp resume`')}, then `{again}`"
    return kinds.get(str(told.get("code")), RunStateError)(**parts)


class WatchedSites:
    """Sites whose every question and answer is an event."""

    def __init__(self, sites: Sites, log: EventLog) -> None:
        self._sites, self._log = sites, log

    def ask(
        self, action: Action, plans: Mapping[str, Frozen | None], parameters: Parameters | None
    ) -> Iterator[SiteReply]:
        """Ask, and write down who is asked and who answers."""
        self._log.write("asked", action=action, sites=list(plans))
        for reply in self._sites.ask(action, plans, parameters):
            fault = f"{reply.fault.code}: {reply.fault.sentence}" if reply.fault else None
            self._log.write("answered", action=action, site=reply.site, fault=fault)
            yield reply
