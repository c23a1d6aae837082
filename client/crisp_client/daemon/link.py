"""Whether this site is connected: by the heartbeats that the coordinator has answered."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from crisp_client.daemon.trouble import MARK

CONTACT_VARIABLE = "CRISP_CONTACT"
"""Names to the SuperNode the file that it touches at each answered heartbeat."""
CONTACT_FILE = "contact"
FRESH_S = 25.0
"""A heartbeat is sent every 7 to 9 s: this is two missed ones and a half."""

DEAD = "the process that keeps the connection has ended and is started again"


@dataclass(frozen=True)
class LinkState:
    """Connected or not, and if not, why (empty: nothing is known to be wrong yet)."""

    connected: bool
    why: str = ""

    def sentence(self, site: str, address: str) -> str:
        """Say it to whoever watches the terminal."""
        if self.connected:
            return f"ready: site {site} is connected to {address}"
        reason = f": {self.why}" if self.why else ""
        return f"not connected: site {site} to {address}{reason}"


@dataclass
class Link:
    """What the SuperNode's log and its contact file say together."""

    contact: Path
    _why: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, line: str) -> None:
        """Remember the reason that a line of the SuperNode's log may give."""
        _, mark, why = line.partition(MARK)
        if mark:
            with self._lock:
                self._why = why

    def state(self, *, alive: bool) -> LinkState:
        """Return how it is now; a connection forgets what was wrong before, a death the contact.

        Args:
            alive: Whether the SuperNode's process runs.
        """
        if not alive:
            self.contact.unlink(missing_ok=True)
        elif self._age_s() < FRESH_S:
            with self._lock:
                self._why = ""
            return LinkState(connected=True)
        with self._lock:
            return LinkState(connected=False, why=self._why or ("" if alive else DEAD))

    def _age_s(self) -> float:
        try:
            return abs(time.time() - self.contact.stat().st_mtime)
        except OSError:
            return float("inf")
