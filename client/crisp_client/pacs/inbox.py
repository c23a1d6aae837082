"""The inbox of a listener: a folder whose every state survives a kill.

    receiving/<series>/<object>.dcm   comes in; `.released` once its sender has said goodbye
    waiting/<series>/                 complete, to be worked on
    results/<series>/                 the one result: it appears in one move
    done/<series>.json                which objects the result stands on
    failed/<series>/                  no result, with reason.txt
    late/<series>/                    came after the result and is not in it

A series is where its folder is; a state changes by one rename, so a kill at any moment leaves it
in the state before or in the state after.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from crisp_core.files.atomic import TEMPORARY, write_text

RELEASED, ATTEMPTS, REASON = ".released", ".attempts", "reason.txt"
STATES = ("receiving", "waiting", "results", "done", "failed", "late")


@dataclass(frozen=True)
class Inbox:
    """The folder of one listener."""

    path: Path

    def prepare(self) -> None:
        """Make the folders, and clear away what a killed listener was in the middle of writing."""
        for state in STATES:
            (self.path / state).mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in [*self.path.rglob(f"*{TEMPORARY}")]:
            with suppress(OSError):
                shutil.rmtree(left) if left.is_dir() else left.unlink()

    def at(self, state: str, series: str) -> Path:
        """Return where a series' folder is in a state."""
        return self.path / state / series

    def temporary(self, state: str) -> Path:
        """Return a name that nobody has, in a state's folder."""
        return self.path / state / f".{secrets.token_hex(8)}{TEMPORARY}"

    def series_in(self, state: str) -> tuple[str, ...]:
        """List the series in a state, by name."""
        found = (path.name for path in (self.path / state).iterdir() if path.is_dir())
        return tuple(sorted(name for name in found if not name.startswith(".")))

    def objects(self, state: str, series: str) -> tuple[Path, ...]:
        """List the objects of a series, by name."""
        return tuple(sorted(self.at(state, series).glob("*.dcm")))

    def quiet_s(self, series: str) -> float:
        """Return for how long nothing has come of a series."""
        times = [path.stat().st_mtime for path in self.objects("receiving", series)]
        return time.time() - max(times, default=0.0)

    def is_released(self, series: str) -> bool:
        """Tell whether whoever sent the last object of a series ended in good order."""
        mark = self.at("receiving", series) / RELEASED
        times = [path.stat().st_mtime for path in self.objects("receiving", series)]
        return mark.exists() and mark.stat().st_mtime >= max(times, default=0.0)

    def release(self, series: str) -> None:
        """Note that a sender ended in good order."""
        folder = self.at("receiving", series)
        if folder.is_dir():
            write_text(folder / RELEASED, "")

    def accept(self, series: str) -> str:
        """Move a complete series on.

        Returns:
            "waiting", or where it went instead: "failed" with what had failed before and can now
            be whole, "late" after its result, "known" if its result stands on the same objects,
            "busy" while that is still being made.
        """
        if self.at("waiting", series).exists():
            return "busy"
        if self.manifest(series).exists():
            return self._after_its_result(series)
        if self.at("failed", series).exists():
            self._join(series)
        (self.at("receiving", series) / RELEASED).unlink(missing_ok=True)
        self.at("receiving", series).rename(self.at("waiting", series))
        return "waiting"

    def manifest(self, series: str) -> Path:
        """Return the file that says what a result stands on."""
        return self.path / "done" / f"{series}.json"

    def attempt(self, series: str) -> int:
        """Count one more attempt at a series and return the number."""
        path = self.at("waiting", series) / ATTEMPTS
        number = int(path.read_text() if path.exists() else 0) + 1
        write_text(path, str(number))
        return number

    def finish(self, series: str) -> None:
        """Note that a series has its result, and let its images go."""
        names = [path.stem for path in self.objects("waiting", series)]
        write_text(self.manifest(series), json.dumps({"objects": names}, indent=1))
        self._discard("waiting", series)

    def fail(self, series: str, reason: str, state: str = "waiting") -> None:
        """Put a series aside with the reason why it has no result."""
        write_text(self.at(state, series) / REASON, reason + "\n")
        (self.at(state, series) / ATTEMPTS).unlink(missing_ok=True)
        target = self.at("failed", series)
        if target.exists():
            shutil.rmtree(target)
        self.at(state, series).rename(target)

    def _after_its_result(self, series: str) -> str:
        known = set(json.loads(self.manifest(series).read_text())["objects"])
        fresh = [path for path in self.objects("receiving", series) if path.stem not in known]
        for path in fresh:
            target = self.at("late", series) / path.name
            target.parent.mkdir(exist_ok=True)
            path.rename(target)
        self._discard("receiving", series)
        return "late" if fresh else "known"

    def _join(self, series: str) -> None:
        """Add what had failed to what came now; the failed ones' folder goes last."""
        for path in self.objects("failed", series):
            target = self.at("receiving", series) / path.name
            if target.exists():
                path.unlink()
            else:
                path.rename(target)
        self._discard("failed", series)

    def _discard(self, state: str, series: str) -> None:
        """Remove a folder: in one move out of sight, then file by file."""
        gone = self.temporary(state)
        self.at(state, series).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def disk_free(path: Path) -> int:
    """Return the free bytes where a folder is."""
    return shutil.disk_usage(path).free


def every(inbox: Inbox) -> Iterator[tuple[str, str]]:
    """Yield (state, series) of everything that is not done."""
    for state in ("receiving", "waiting", "failed", "late"):
        yield from ((state, series) for series in inbox.series_in(state))
