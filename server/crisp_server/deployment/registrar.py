"""Keep the SuperLink's list of nodes equal to the roster, whatever restarts or is changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from crisp_core.errors import CrispError
from crisp_server.deployment.control import connected
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster, change_roster

LOOK_EVERY_S = 1.0


class Registrar:
    """Registers and unregisters nodes when the SuperLink is new or the roster has changed."""

    def __init__(self, home: CoordinatorHome, superlink_pid: Callable[[], int]) -> None:
        self._home, self._superlink_pid = home, superlink_pid
        self._lock = threading.Lock()
        self._agreed: tuple[int, Roster] | None = None

    def agree(self) -> bool:
        """Bring both together if one of them has changed since; tell whether they agree now."""
        with self._lock:
            pid = self._superlink_pid()
            try:
                roster = Roster.load(self._home.roster)
                if pid and self._agreed != (pid, roster):
                    self._agreed = (pid, self._told(roster))
            except CrispError:  # it restarts, or is not up yet: the next look will do it
                return False
            return bool(pid)

    def _told(self, roster: Roster) -> Roster:
        with connected(self._home) as control:
            numbers = control.agree(roster)
        return change_roster(self._home.roster, lambda now: _numbered(now, numbers))

    def has_agreed(self) -> bool:
        """Tell, without asking, whether the SuperLink that runs now knows the roster."""
        return self._agreed is not None and self._agreed[0] == self._superlink_pid() != 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Agree again and again, from a thread, until the block ends."""
        stop = threading.Event()
        thread = threading.Thread(target=self._watch, args=(stop,), name="registrar", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(LOOK_EVERY_S):
            self.agree()


def _numbered(roster: Roster, numbers: Mapping[str, int]) -> Roster:
    """Note Flower's number of each node."""
    entries = (
        entry.model_copy(update={"node_id": str(numbers[entry.site])})
        if entry.state == "admitted" and entry.site in numbers
        else entry
        for entry in roster.entries
    )
    return Roster(entries=tuple(entries))
