"""From objects that arrive to one result a series, across restarts and kills."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crisp_client.pacs.inbox import Inbox
from crisp_client.pacs.receive import Door, Receiver, serving
from crisp_client.pacs.steps import Step
from crisp_core.errors import CrispError
from crisp_core.processes.lock import only_one

POLL_S = 0.25
DELIVERED, TRIED = ".delivered", ".tried"
Deliver = Callable[[Sequence[Path]], None]
Count = Callable[[str, str], int | None]


@dataclass(frozen=True)
class Work:
    """What is done with a series, and when it counts as complete.

    Attributes:
        step: Makes the result.
        deliver: Sends the result's DICOM files on; None: they stay.
        count: Asks how many objects (study, series) has; None: nobody knows.
        quiet_s: A series is complete when nothing has come of it for so long.
        patience_s: A series whose sender broke off, or that is short of its count, is put aside
            after this.
        retry_s: After which a result that was not taken is offered again.
        most_attempts: At a series whose step ends the listener itself.
    """

    step: Step
    deliver: Deliver | None = None
    count: Count | None = None
    quiet_s: float = 10.0
    patience_s: float = 3600.0
    retry_s: float = 30.0
    most_attempts: int = 3


def listen(
    inbox: Inbox, door: Door, work: Work, say: Callable[[str], None], stop: threading.Event
) -> None:
    """Receive series and work on each once, until told to stop.

    Raises:
        ProcessError: If another listener has this inbox, or the address is taken.
    """
    with only_one(inbox.path / "lock", "listener of this inbox"):
        inbox.prepare()
        receiver = Receiver(inbox, door, say)
        with serving(receiver) as port:
            say(f"{door.ae_title} listens on {door.bind}:{port}; inbox {inbox.path}")
            while not stop.is_set():
                turn(inbox, receiver, work, say)
                stop.wait(POLL_S)


def turn(inbox: Inbox, receiver: Receiver, work: Work, say: Callable[[str], None]) -> None:
    """Move every series on that can move: received to waiting, waiting to its result."""
    for series in inbox.series_in("receiving"):
        if _is_quiet(inbox, receiver, work, series):
            expected = receiver.expected_of(
                series, work.count
            )  # may ask a PACS: not under the lock
            with receiver.lock:
                if _is_quiet(inbox, receiver, work, series):
                    _receive(inbox, work, series, expected, say)
    for series in inbox.series_in("waiting"):
        _work(inbox, work, series, say)


def _is_quiet(inbox: Inbox, receiver: Receiver, work: Work, series: str) -> bool:
    if not inbox.objects("receiving", series) or receiver.is_open(series):
        return False
    return inbox.quiet_s(series) >= work.quiet_s


def _receive(
    inbox: Inbox, work: Work, series: str, expected: int | None, say: Callable[[str], None]
) -> None:
    """Accept a series that is complete; put one aside that has been short for too long."""
    objects = len(inbox.objects("receiving", series))
    whole = inbox.is_released(series) if expected is None else objects >= expected
    if whole:
        where = inbox.accept(series)
        if where != "busy":
            say(f"{series}: {objects} objects, {_ACCEPTED[where]}")
    elif inbox.quiet_s(series) > work.patience_s:
        short = f"{objects} of {expected or 'an unknown number of'} objects; its sender broke off"
        inbox.fail(series, short, state="receiving")
        say(f"{series}: put aside, {short}")


def _work(inbox: Inbox, work: Work, series: str, say: Callable[[str], None]) -> None:
    """Make the one result of a series, or find it made; deliver it; let the images go."""
    result = inbox.at("results", series)
    try:
        if not result.exists():
            number = inbox.attempt(series)
            if number > work.most_attempts:
                inbox.fail(series, f"no result after {work.most_attempts} attempts that broke off")
                say(f"{series}: put aside, no result after {work.most_attempts} attempts")
                return
            _make(inbox, work.step, series, result)
            say(f"{series}: result in {result}")
        if not _is_delivered(work, result):
            return
    except (CrispError, OSError) as error:
        if result.exists():  # made but not delivered: tried again after a while
            say(f"{series}: not delivered: {error}")
            return
        inbox.fail(series, str(error))
        say(f"{series}: no result: {error}")
        return
    inbox.finish(series)


def _make(inbox: Inbox, step: Step, series: str, result: Path) -> None:
    part = inbox.temporary("results")
    part.mkdir()
    try:
        step(inbox.at("waiting", series), part)
        part.rename(result)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _is_delivered(work: Work, result: Path) -> bool:
    """Deliver a result that is not delivered yet; False while it is not time to try again."""
    mark, tried = result / DELIVERED, result / TRIED
    if work.deliver is None or mark.exists():
        return True
    if tried.exists() and time.time() - tried.stat().st_mtime < work.retry_s:
        return False
    tried.touch()
    work.deliver(sorted(result.rglob("*.dcm")))
    mark.touch()
    tried.unlink()
    return True


_ACCEPTED = {
    "waiting": "complete",
    "known": "the same as before: it has its result",
    "late": "some after its result: kept in late/, not worked on",
}
