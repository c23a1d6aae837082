"""The daemon itself: children kept alive, state told and shown, a stop that loses no work."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

from crisp_client.daemon.children import SUPERNODE, site_children
from crisp_client.daemon.link import CONTACT_FILE, Link, LinkState
from crisp_client.home import SiteHome
from crisp_client.settings import load_settings
from crisp_core.processes.lock import only_one
from crisp_core.processes.logs import LineLog
from crisp_core.processes.probes import Standing, probes
from crisp_core.processes.supervisor import Supervisor
from crisp_core.schema.manifest import SiteSettings

TICK_S = 0.5
SETTLE_S = 10.0
"""Seconds after the start in which a missing connection is not news."""
DRAIN_LIMIT_S = 600.0
STOP_GRACE_S = 10.0
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Wish:
    """What the signals ask for: the first to finish the task at hand, the second to end now."""

    leave: threading.Event = field(default_factory=threading.Event)
    hurry: threading.Event = field(default_factory=threading.Event)

    def signalled(self, _number: int, _frame: FrameType | None) -> None:
        """Take a signal."""
        (self.hurry if self.leave.is_set() else self.leave).set()


def serve(home: SiteHome, say: Callable[[str], None], *, probe_port: int = 0) -> None:
    """Be this site's part of the federation until a signal asks to stop.

    Args:
        home: The folder that joining made; its path is absolute.
        say: Called with one sentence at each change.
        probe_port: Port of `/live` and `/ready` on 127.0.0.1; 0 for any, see `daemon.json`.

    Raises:
        UsageError: If the site has not joined.
        ProcessError: If a daemon of this home runs already.
    """
    settings = load_settings(home.settings)
    with only_one(home.running / "lock", f"daemon of {home.path}"), _signals() as wish:
        daemon = _Daemon(home, settings, say)
        with probes(probe_port, daemon.standing) as port:
            daemon.run(wish, port)


class _Daemon:
    """The children, the link and who is told about them."""

    def __init__(self, home: SiteHome, settings: SiteSettings, say: Callable[[str], None]) -> None:
        self._home, self._settings, self._say = home, settings, say
        self._link = Link(home.running / CONTACT_FILE)
        self._log = LineLog(home.logs / "daemon.jsonl")
        children = site_children(home, settings)
        self._supervisor = Supervisor(children, home.running / "children.json", self._hear)
        self._shown: LinkState | None = None

    def run(self, wish: Wish, probe_port: int) -> None:
        """Look after everything until asked to leave; then let the task at hand be finished."""
        try:
            self._supervisor.start()
            self._tell(f"started: probes on 127.0.0.1:{probe_port}")
            ticks = 0
            while not wish.leave.wait(TICK_S):
                self._supervisor.check()
                ticks += 1
                self._show(self._state(), probe_port, settled=ticks * TICK_S > SETTLE_S)
            self._drain(wish.hurry)
        finally:
            self._supervisor.stop(STOP_GRACE_S)
            self._write("stopped", probe_port)
            self._tell("stopped")

    def standing(self) -> Standing:
        """Answer the probes."""
        state = self._state()
        children = {child.name: child.state for child in self._supervisor.status()}
        live = all(child != "stopped" for child in children.values())
        ready = state.connected and all(child == "running" for child in children.values())
        return Standing(live, ready, {**children, "why": state.why})

    def _drain(self, hurry: threading.Event) -> None:
        self._tell(
            f"stopping: waiting at most {DRAIN_LIMIT_S:.0f} s for the task at hand "
            "(a second signal stops at once)"
        )
        self._supervisor.retire(SUPERNODE, signal.SIGUSR1, DRAIN_LIMIT_S, hurry)

    def _hear(self, name: str, line: str) -> None:
        if name == SUPERNODE:
            self._link.hear(line)

    def _state(self) -> LinkState:
        alive = any(c.name == SUPERNODE and c.pid for c in self._supervisor.status())
        return self._link.state(alive=alive)

    def _show(self, state: LinkState, probe_port: int, *, settled: bool) -> None:
        """Say a change; while nothing is known to be wrong, a start has time to connect."""
        if state == self._shown or not (state.connected or state.why or settled):
            return
        self._shown = state
        self._write("connected" if state.connected else "not connected", probe_port)
        self._tell(state.sentence(self._settings.site, self._settings.coordinator))

    def _write(self, state: str, probe_port: int) -> None:
        facts = {"pid": os.getpid(), "probe_port": probe_port, "state": state}
        path = self._home.running / "daemon.json"
        fresh = path.with_suffix(".new")
        with suppress(OSError):  # a full disk is no reason to stop working either
            fresh.write_text(json.dumps({**facts, "why": self._shown.why if self._shown else ""}))
            fresh.replace(path)

    def _tell(self, sentence: str) -> None:
        self._log.write("daemon", sentence)
        with suppress(OSError):  # the terminal may be gone: no reason to stop working
            self._say(sentence)


@contextmanager
def _signals() -> Iterator[Wish]:
    """Turn the signals that end a process into wishes, and give them back afterwards."""
    wish = Wish()
    former = {number: signal.signal(number, wish.signalled) for number in STOPPING}
    try:
        yield wish
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
