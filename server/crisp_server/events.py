"""What happens, as it happens: one JSON line an event, for whoever watches the run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crisp_core.arrays import Parameters
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
