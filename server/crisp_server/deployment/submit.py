"""`crisp run`: submit a run to the home's SuperLink and follow it to its end, whatever dies.

Flower gives a run up when its ServerApp dies. The run folder does not: it is submitted again and
goes on from its last saved step.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from crisp_core.errors import ConnectionFailedError, ProcessError, RunStateError, UsageError
from crisp_core.files.atomic import write_text
from crisp_core.processes.lock import only_one
from crisp_core.schema.study import FederationConfig, Study
from crisp_core.schema.summary import RunSummary
from crisp_server.deployment.control import Control, FlowerRun, connected
from crisp_server.deployment.serverapp import conductor, end, holder
from crisp_server.deployment.settings import study_of
from crisp_server.events import read_events
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster
from crisp_server.simulate import facts_of, failure_of, reported
from crisp_server.store import RunFolder

Answer = TypeVar("Answer")
ENGINE = "flower-deployment"
MOST_SUBMISSIONS = 20
MOST_FRUITLESS = 5
UNREACHABLE_S = 300.0
POLL_S = 0.5
ASK_FLOWER_S = 5.0


def opened_run(home: CoordinatorHome, command: str, accepted: Collection[str] = ()) -> RunFolder:
    """Open the run of this home's study, or begin it.

    Args:
        home: The coordinator's folder.
        command: What was typed.
        accepted: Errors of the data verdict, as `site:what`, that a person takes for false alarms.

    Raises:
        RunStateError: If the folder cannot be used, or its run is that of another study.
        UsageError: If what is accepted is no name of such an error.
    """
    study = _accepting(study_of(home), accepted)
    path = home.runs / study.name
    if not RunFolder.started(path):
        return RunFolder.create(path, study, facts_of(ENGINE, command, str(home.path.resolve())))
    run = RunFolder.open(path)
    if run.study.hash() != study.hash():
        raise RunStateError(
            expected="a run of the study that this home holds now",
            got="one of another study of the same name",
            where=str(path),
            fix="Put study.json back as it was; a changed study is another one, which hospitals "
            "approve anew: crisp provision with another --home",
        )
    run.note_command(command)
    if accepted:
        run.accept(study.federation.accept_verdict)
    return run


def _accepting(study: Study, accepted: Collection[str]) -> Study:
    """Return the study that takes these errors of the data verdict for false alarms as well."""
    names = (*study.federation.accept_verdict, *accepted)
    federation = study.federation.model_dump() | {"accept_verdict": names}
    try:
        return study.model_copy(update={"federation": FederationConfig.model_validate(federation)})
    except ValidationError:
        raise UsageError(
            expected="SITE:WHAT, such as north:spacing",
            got=", ".join(accepted),
            where="--accept",
            fix="Copy the name from the message of the data verdict",
        ) from None


def carry_on(run: RunFolder, say: Callable[[str], None]) -> RunSummary:
    """Bring a run of real hospitals to its end and write its report.

    Args:
        run: Its facts name the coordinator's home.
        say: Told whom it waits for, and what had to be started again.

    Raises:
        CrispError: Whatever ended the run.
    """
    home = CoordinatorHome(Path(run.facts.home))
    if not is_finished(run):
        with (
            only_one(home.running / "run.lock", "`crisp run` of this home"),
            connected(home) as control,
        ):
            _Following(home, run, control, say).to_the_end()
    return reported(run)


def stop(home: CoordinatorHome, run: RunFolder) -> None:
    """Stop the run; its folder can be continued.

    Raises:
        ConnectionFailedError: If the SuperLink does not answer; the process is ended even then.
    """
    try:
        with connected(home) as control:
            control.stop_all()
    finally:
        end(run)


def is_up(home: CoordinatorHome) -> bool:
    """Tell whether a `crisp up` serves this home."""
    return holder(home.running / "up.lock") is not None


def is_finished(run: RunFolder) -> bool:
    """Tell whether the last thing that the run said is that it is finished."""
    events = events_of(run)
    return bool(events) and events[-1]["event"] == "finished"


def events_of(run: RunFolder, start: int = 0) -> list[dict[str, Any]]:
    """Return the run's events from byte `start` of their file."""
    return read_events(run.path / "events.jsonl", start)[0]


def _size(run: RunFolder) -> int:
    path = run.path / "events.jsonl"
    return path.stat().st_size if path.is_file() else 0


@dataclass
class _Attempt:
    """One submission: Flower's number, where its events begin, whether it was ever taken up."""

    run_id: int
    start: int
    seen: bool = False


class _Following:
    """Follows one run through as many submissions as it takes."""

    def __init__(
        self, home: CoordinatorHome, run: RunFolder, control: Control, say: Callable[[str], None]
    ) -> None:
        self._home, self._run, self._control, self._say = home, run, control, say
        self._note = home.running / "run.json"

    def to_the_end(self) -> None:
        """Return when the run is finished; raise what ended it otherwise."""
        self._name_the_missing()
        attempt, fruitless = self._adopted() or self._submitted(), 0
        for number in range(2, MOST_SUBMISSIONS + 2):
            reason = self._followed(attempt)
            if reason is None:
                return
            events = events_of(self._run, attempt.start)
            saved = any(event["event"] == "saved" for event in events)
            fruitless = 0 if saved else fruitless + 1
            if fruitless == MOST_FRUITLESS or number > MOST_SUBMISSIONS:
                break
            self._say(f"The server process ended ({reason}); submitted again, number {number}")
            self._patiently(partial(self._control.stop, attempt.run_id))
            attempt = self._submitted()
        raise ProcessError(
            expected="a server process that stays",
            got=f"one that ended again and again ({reason})",
            where=f"{self._home.logs / 'superexec.jsonl'}",
            fix=f"Mend it, then `crisp resume {self._run.path}`",
        )

    def _name_the_missing(self) -> None:
        roster = Roster.load(self._home.roster)
        absent = [entry.site for entry in roster.entries if entry.state != "admitted"]
        if absent:
            self._say(f"Not joined yet: {', '.join(absent)} (tokens in {self._home.tokens})")

    def _adopted(self) -> _Attempt | None:
        """Take up what an earlier `crisp run` has submitted, if a process conducts it."""
        if conductor(self._run) is None or not self._note.is_file():
            return None
        with suppress(OSError, ValueError, KeyError, TypeError):  # damaged: submitted anew
            run_id = int(json.loads(self._note.read_text())["run_id"])
            return _Attempt(run_id, _size(self._run), seen=True)
        return None

    def _submitted(self) -> _Attempt:
        """Submit the run, when nobody else conducts it any more and no older one can begin to."""
        if not is_up(self._home):
            raise not_up(self._home)
        self._patiently(self._control.stop_all)
        end(self._run)
        start = _size(self._run)
        run_id = self._patiently(partial(self._control.start, self._run.path))
        write_text(self._note, json.dumps({"run_id": run_id}))
        return _Attempt(run_id, start)

    def _followed(self, attempt: _Attempt) -> str | None:
        """Wait for the end of one submission: None if the run is finished, else why it is not."""
        ask_at = time.monotonic() + ASK_FLOWER_S
        while True:
            time.sleep(POLL_S)
            reason = None
            alive = conductor(self._run) is not None
            attempt.seen = attempt.seen or alive or _size(self._run) > attempt.start
            if alive:
                continue
            if attempt.seen or time.monotonic() > ask_at:
                ask_at = time.monotonic() + ASK_FLOWER_S
                flower = self._patiently(partial(self._control.run, attempt.run_id))
                reason = self._over(attempt, flower)
            if self._is_finished(attempt):
                return None
            if reason:
                return reason

    def _over(self, attempt: _Attempt, flower: FlowerRun | None) -> str | None:
        """Say why nobody conducts a submission any more; None if somebody still may begin to."""
        if flower is not None and flower.ending == "stopped":
            raise RunStateError(
                expected="a run that comes to its end",
                got="one that was stopped",
                where=str(self._run.path),
                fix=f"Continue it: crisp resume {self._run.path}",
            )
        if flower is None:
            return "the SuperLink has forgotten it"
        if flower.status == "finished":
            return flower.details or flower.ending
        return "it is gone" if attempt.seen else None

    def _is_finished(self, attempt: _Attempt) -> bool:
        """Tell whether the run says of itself that it is finished.

        Raises:
            RunStateError: If it says that it failed, with its sentence.
        """
        events = events_of(self._run, attempt.start)
        last = events[-1]["event"] if events else ""
        if last == "failed":
            raise failure_of(self._run)
        return bool(last == "finished")

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Ask, and ask again for some minutes: `crisp up` restarts a SuperLink that has died."""
        deadline = time.monotonic() + UNREACHABLE_S
        while True:
            try:
                return ask()
            except ConnectionFailedError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(POLL_S)


def not_up(home: CoordinatorHome) -> ConnectionFailedError:
    """Say that nobody serves this home."""
    return ConnectionFailedError(
        expected="a coordinator that is up",
        got="none",
        where=str(home.path),
        fix=f"Start it in another window: crisp up --home {home.path}",
    )
