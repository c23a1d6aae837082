"""How a federation stands, in words: what runs, who is there, how far the study has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crisp_core.errors import CrispError
from crisp_core.processes.supervisor import ChildStatus, read_status
from crisp_server.deployment.control import connected
from crisp_server.deployment.serverapp import conductor
from crisp_server.deployment.settings import study_of
from crisp_server.deployment.submit import events_of, is_up
from crisp_server.deployment.up import STATE_FILE
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster, RosterEntry
from crisp_server.store import RunFolder
from crisp_server.terminal import step_count


@dataclass(frozen=True)
class Status:
    """What `crisp status` says; the first line is `sentence`."""

    sentence: str
    processes: tuple[ChildStatus, ...]
    sites: Mapping[str, str]
    """Site -> `online`, `offline`, `not joined` or `revoked`."""
    run: str
    """Folder of the run; empty if there is none yet."""


def status_of(home: CoordinatorHome) -> Status:
    """Look at the processes, the roster, the SuperLink and the run.

    Raises:
        RunStateError: If the home is damaged or there is none.
    """
    roster = Roster.load(home.roster)
    study = study_of(home)
    processes = read_status(home.running / STATE_FILE) if is_up(home) else ()
    sites = _sites(home, roster) if processes else {e.site: _word(e, "") for e in roster.entries}
    folder = home.runs / study.name
    run = RunFolder.open(folder) if RunFolder.started(folder) else None
    absent = [site for site, word in sites.items() if word not in ("online", "revoked")]
    return Status(
        sentence=_sentence(run, up=bool(processes), absent=absent),
        processes=processes,
        sites=sites,
        run=str(folder) if run else "",
    )


def _sites(home: CoordinatorHome, roster: Roster) -> dict[str, str]:
    """Return how each site is for the SuperLink."""
    online = set()
    try:
        with connected(home) as control:
            online = {str(node.node_id) for node in control.nodes() if node.status == "online"}
    except CrispError:  # it is being restarted: nobody is known to be online
        pass
    return {
        entry.site: _word(entry, "online" if entry.node_id in online else "offline")
        for entry in roster.entries
    }


def _word(entry: RosterEntry, presence: str) -> str:
    words = {"invited": "not joined", "revoked": "revoked"}
    return words.get(entry.state, presence or "joined")


def _sentence(run: RunFolder | None, *, up: bool, absent: list[str]) -> str:
    """Say in one line how the federation stands: the worst that is true comes first."""
    events = events_of(run) if run else []
    if run is None or not events:
        waiting = f"; waiting for {', '.join(absent)}" if absent and up else ""
        return f"no run yet{waiting}" if up else "not up: start it with `crisp up`"
    last = events[-1]
    if last["event"] == "failed":
        return f"failed: {last['sentence']}"
    if last["event"] == "finished":
        return f"{_degraded(run)}finished: {run.path / 'report.html'}"
    if conductor(run) is None:
        first = "" if up else "`crisp up`, then "
        return f"{_degraded(run)}stopped: continue with {first}`crisp resume {run.path}`"
    steps = f"{_steps_done(events)} of at most {step_count(run.study)} steps"
    state = f"waiting for {', '.join(absent)}" if absent else "running"
    return f"{_degraded(run)}{state if up else 'not up: start it with `crisp up`'}, {steps}"


def _degraded(run: RunFolder) -> str:
    """Say who was missing, and when; empty if nobody ever was."""
    missed: dict[str, list[str]] = {}
    for entry in run.ledger.entries():
        if entry.event == "missing":
            missed.setdefault(str(entry.fields["site"]), []).append(str(entry.fields["round"]))
    if not missed:
        return ""
    parts = [f"{site} in round {', '.join(rounds)}" for site, rounds in sorted(missed.items())]
    return f"DEGRADED: without {'; '.join(parts)}. "


def _steps_done(events: Sequence[Mapping[str, Any]]) -> int:
    return max((int(event.get("steps_done", 0)) for event in events), default=0)
