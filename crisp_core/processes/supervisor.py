"""Children that are kept alive: each in its own session, restarted after a pause, ended for good.

What was learned from Flower's processes: wait for the pid and not for the end of its output, which
an orphan can hold open for minutes; end the whole group of a child that has died before its
successor starts; try again for ever, ever more slowly.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from crisp_core.processes.groups import MARK, Group, end_groups, group_of, is_alive, is_ours
from crisp_core.processes.logs import LineLog, Reader

TICK_S = 0.25
ORPHAN_GRACE_S = 5.0
COMMAND_NOT_STARTED = 127


@dataclass(frozen=True)
class Child:
    """A program to keep alive.

    `environment` is all it gets. `log` is its own file of JSON lines. With `keep_orphans` what it
    started lives on when it dies and is restarted; a stop ends that too.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: Path
    log: Path
    keep_orphans: bool = False


@dataclass(frozen=True)
class Pace:
    """Seconds before a restart: doubled from first to longest, first again after `healthy_s`."""

    first_s: float = 2.0
    longest_s: float = 60.0
    healthy_s: float = 60.0

    def pause_s(self, failures: int) -> float:
        """Return the pause after so many deaths in a row.

        Examples:
            >>> [Pace().pause_s(failures) for failures in (1, 2, 5, 6, 1000)]
            [2.0, 4.0, 32.0, 60.0, 60.0]
        """
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 30))


@dataclass(frozen=True)
class ChildStatus:
    """How a child is: `pid` is 0 when it does not run, `last_exit` negative for a signal."""

    name: str
    pid: int
    state: Literal["running", "waiting", "stopped"]
    restarts: int
    last_exit: int | None
    last_line: str


class Supervisor:
    """Starts children, looks after them at each `check` and stops them.

    One thread calls `start`, `check`, `run` and `stop`; any may ask for `status`. `on_line` is
    called with (child's name, line) from other threads.
    """

    def __init__(
        self,
        children: Sequence[Child],
        state_file: Path,
        on_line: Callable[[str, str], None] | None = None,
        *,
        pace: Pace | None = None,
    ) -> None:
        self._state_file = state_file
        mark = str(state_file.resolve())
        self._kept = [_Kept(child, mark, on_line, pace or Pace()) for child in children]
        self._written = ""

    def start(self) -> None:
        """End what an earlier supervisor of the same state file left behind, and start all."""
        mark = str(self._state_file.resolve())
        left = [group for group in _recorded_groups(self._state_file) if is_ours(group, mark)]
        end_groups(left, ORPHAN_GRACE_S)
        for kept in self._kept:
            kept.start()
            self._write_state()

    def check(self) -> None:
        """Take note of deaths, end what the dead left, and restart whose pause is over."""
        for kept in self._kept:
            kept.check()
        self._write_state()

    def run(self, until: threading.Event) -> None:
        """Check a few times a second until the event is set."""
        while not until.wait(TICK_S):
            self.check()

    def retire(self, name: str, signal_number: int, limit_s: float, hurry: threading.Event) -> bool:
        """Send a child a signal and wait until it has ended by itself; nothing is restarted.

        Returns:
            Whether it ended in `limit_s` seconds and before `hurry` was set.
        """
        kept = next(kept for kept in self._kept if kept.child.name == name)
        kept.send(signal_number)
        deadline = time.monotonic() + limit_s
        while kept.is_running() and time.monotonic() < deadline:
            if hurry.wait(TICK_S):
                break
        return not kept.is_running()

    def stop(self, grace_s: float) -> None:
        """Ask all children to end, the last one first; after `grace_s` seconds kill the rest."""
        end_groups([group for kept in reversed(self._kept) for group in kept.living()], grace_s)
        for kept in self._kept:
            kept.stopped()
        self._write_state()

    def status(self) -> tuple[ChildStatus, ...]:
        """Return how each child is, in the order given."""
        return tuple(kept.status() for kept in self._kept)

    def _write_state(self) -> None:
        """Replace the state file if more than a child's last line has changed."""
        statuses = [asdict(status) for status in self.status()]
        groups = [asdict(group) for kept in self._kept for group in kept.groups]
        news = json.dumps([[{**s, "last_line": ""} for s in statuses], groups])
        if news == self._written:
            return
        temporary = self._state_file.with_suffix(".new")
        with suppress(OSError):  # a full disk stops no child; the next look tries again
            self._state_file.parent.mkdir(parents=True, exist_ok=True)
            place = str(self._state_file.resolve())
            text = json.dumps({"place": place, "children": statuses, "groups": groups})
            temporary.write_text(text, "utf-8")
            temporary.replace(self._state_file)
            self._written = news


def read_status(state_file: Path) -> tuple[ChildStatus, ...]:
    """Return what a supervisor wrote about its children last; empty if there is nothing."""
    with suppress(TypeError):  # of another version, or damaged
        return tuple(ChildStatus(**status) for status in _read(state_file).get("children", ()))
    return ()


def _recorded_groups(state_file: Path) -> list[Group]:
    """Return what the supervisor of this very file left; a copy's groups may be at their work."""
    record = _read(state_file)
    with suppress(TypeError):
        if record.get("place") == str(state_file.resolve()):
            return [Group(**group) for group in record.get("groups", ())]
    return []


def _read(state_file: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError, TypeError, RecursionError):
        return dict(json.loads(state_file.read_text("utf-8")))
    return {}


@dataclass
class _Kept:
    """One child's present life, and what its past lives left."""

    child: Child
    mark: str
    on_line: Callable[[str, str], None] | None
    pace: Pace
    groups: list[Group] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _readers: list[Reader] = field(default_factory=list)
    _since_s: float = 0.0
    _start_at_s: float | None = None
    _failures: int = 0
    _restarts: int = 0
    _last_exit: int | None = None
    _last_line: str = ""

    def __post_init__(self) -> None:
        self._log = LineLog(self.child.log)

    def start(self) -> None:
        self._start_at_s, self._since_s = None, time.monotonic()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the words of our caller, no shell
                self.child.command,
                env={**self.child.environment, MARK: self.mark},
                cwd=self.child.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self._take(f"cannot start: {error}")
            self._died(COMMAND_NOT_STARTED)
            return
        self.groups.append(group_of(self._process.pid))
        self._read(self._process)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is not None:
            self._readers.append(Reader(os.dup(process.stdout.fileno()), self._take))
            process.stdout.close()

    def check(self) -> None:
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                self._forgive()
                return
            self._process = None
            self._clear()
            self._died(code)
        if self._start_at_s is not None and time.monotonic() >= self._start_at_s:
            self._restarts += 1
            self.start()

    def living(self) -> list[Group]:
        """Return the child's group and those of its past lives that have not ended since."""
        present = self._process.pid if self._process else 0
        return [g for g in self.groups if g.pid == present or is_ours(g, self.mark)]

    def send(self, signal_number: int) -> None:
        if self._process is not None:
            self._process.send_signal(signal_number)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stopped(self) -> None:
        if self._process is not None:
            self._last_exit = self._process.wait()
        self._process, self._start_at_s = None, None
        self._let_go()

    def status(self) -> ChildStatus:
        process, waiting = self._process, self._start_at_s is not None
        state: Literal["running", "waiting", "stopped"] = "waiting" if waiting else "stopped"
        return ChildStatus(
            name=self.child.name,
            pid=process.pid if process else 0,
            state="running" if process else state,
            restarts=self._restarts,
            last_exit=self._last_exit,
            last_line=self._last_line,
        )

    def _died(self, code: int) -> None:
        self._failures += 1
        self._last_exit = code
        self._start_at_s = time.monotonic() + self.pace.pause_s(self._failures)

    def _forgive(self) -> None:
        if self._failures and time.monotonic() - self._since_s >= self.pace.healthy_s:
            self._failures = 0

    def _clear(self) -> None:
        """End what the dead child left, unless it is to live on."""
        if not self.child.keep_orphans:
            end_groups(self.groups, ORPHAN_GRACE_S)
            self._let_go()
        self.groups = [group for group in self.groups if is_alive(group)]
        self._readers = [reader for reader in self._readers if reader.is_reading()]

    def _let_go(self) -> None:
        for reader in self._readers:
            reader.close()
        self._readers.clear()
        self.groups.clear()

    def _take(self, line: str) -> None:
        self._last_line = line
        self._log.write(self.child.name, line)
        if self.on_line is not None:
            self.on_line(self.child.name, line)
