"""States of an inbox: each move is one rename, and each series ends in exactly one place."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from crisp_client.pacs.inbox import Inbox, every
from crisp_client.pacs.listen import Work, turn
from crisp_client.pacs.receive import Door, Receiver
from crisp_client.pacs.steps import command_step, filed
from crisp_core.errors import CrispError, ProcessError, UsageError

SERIES = "1.2.3"


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    made = Inbox(tmp_path / "inbox")
    made.prepare()
    return made


def arrive(inbox: Inbox, *names: str, released: bool = True, age_s: float = 60) -> None:
    folder = inbox.at("receiving", SERIES)
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.dcm").write_text(name)
        os.utime(folder / f"{name}.dcm", (time.time() - age_s,) * 2)
    if released:
        inbox.release(SERIES)


class Listener:
    """The main loop, turned by hand; nobody calls."""

    def __init__(self, inbox: Inbox, expected: int | None = None, **work) -> None:
        self.inbox, self.said, self.expected = inbox, [], expected
        self.work = Work(**{"step": filed, "quiet_s": 10.0, **work})
        self.receiver = Receiver(inbox, Door(callers=("SCANNER",)), self.said.append)
        self.receiver.expected_of = lambda *_: self.expected

    def turn(self) -> None:
        turn(self.inbox, self.receiver, self.work, self.said.append)


def results(inbox: Inbox) -> list[str]:
    return sorted(path.name for path in inbox.at("results", SERIES).glob("*.dcm"))


def test_a_quiet_released_series_gets_one_result_and_leaves_no_image(inbox):
    arrive(inbox, "a", "b")

    Listener(inbox).turn()

    assert results(inbox) == ["a.dcm", "b.dcm"]
    assert json.loads(inbox.manifest(SERIES).read_text()) == {"objects": ["a", "b"]}
    assert list(every(inbox)) == []


@pytest.mark.parametrize(
    ("arrival", "expected"),
    [
        ({"age_s": 1}, None),  # something came a second ago
        ({"released": False}, None),  # its sender did not say goodbye
        ({}, 3),  # there are three
    ],
)
def test_a_series_that_is_not_complete_waits(inbox, arrival, expected):
    arrive(inbox, "a", "b", **arrival)

    Listener(inbox, expected).turn()

    assert list(every(inbox)) == [("receiving", SERIES)]


def test_a_series_of_the_expected_count_is_complete_however_its_sender_ended(inbox):
    arrive(inbox, "a", "b", released=False)

    Listener(inbox, expected=2).turn()

    assert results(inbox) == ["a.dcm", "b.dcm"]


def test_a_series_that_stays_short_is_put_aside_and_joined_when_the_rest_comes(inbox):
    arrive(inbox, "a", released=False)
    listener = Listener(inbox, patience_s=30.0)
    listener.turn()
    assert list(every(inbox)) == [("failed", SERIES)]
    assert "its sender broke off" in (inbox.at("failed", SERIES) / "reason.txt").read_text()

    arrive(inbox, "b")
    listener.turn()

    assert results(inbox) == ["a.dcm", "b.dcm"]
    assert list(every(inbox)) == []


def test_a_series_that_is_sent_again_gets_no_second_result(inbox):
    listener, made = Listener(inbox), []
    listener.work = Work(step=lambda series, result: made.append(series), quiet_s=10.0)
    for _ in range(2):
        arrive(inbox, "a", "b")
        listener.turn()

    assert len(made) == 1
    assert list(every(inbox)) == []


def test_what_comes_after_the_result_is_kept_and_said(inbox):
    listener = Listener(inbox)
    arrive(inbox, "a")
    listener.turn()
    arrive(inbox, "a", "b")
    listener.turn()

    assert [path.name for path in inbox.objects("late", SERIES)] == ["b.dcm"]
    assert results(inbox) == ["a.dcm"]
    assert any("late/" in sentence for sentence in listener.said)


def test_a_result_that_was_made_before_a_kill_is_not_made_again(inbox):
    arrive(inbox, "a")
    inbox.accept(SERIES)
    inbox.at("results", SERIES).mkdir()
    listener = Listener(inbox)
    listener.work = Work(step=lambda *_: pytest.fail("made twice"), quiet_s=10.0)

    listener.turn()

    assert inbox.manifest(SERIES).exists()


def test_half_a_result_is_cleared_away_and_made_anew(inbox):
    arrive(inbox, "a")
    inbox.accept(SERIES)
    left = inbox.temporary("results")
    left.mkdir()
    (left / "half").write_text("half")

    inbox.prepare()
    Listener(inbox).turn()

    assert [path.name for path in (inbox.path / "results").iterdir()] == [SERIES]
    assert results(inbox) == ["a.dcm"]


def test_a_step_that_fails_puts_the_series_aside_with_its_reason(inbox):
    arrive(inbox, "a")

    def step(series: Path, result: Path) -> None:
        (result / "half").write_text("half")
        raise CrispError(expected="slices", got="a gap", where="here", fix="Send it again")

    Listener(inbox, step=step).turn()

    assert "got a gap" in (inbox.at("failed", SERIES) / "reason.txt").read_text()
    assert not any((inbox.path / "results").iterdir())


def test_a_series_that_brings_the_listener_down_is_given_up(inbox):
    arrive(inbox, "a")
    inbox.accept(SERIES)
    for _ in range(3):
        inbox.attempt(SERIES)

    Listener(inbox).turn()

    assert list(every(inbox)) == [("failed", SERIES)]


def test_a_result_that_is_not_taken_is_offered_again_until_it_is(inbox):
    arrive(inbox, "a")
    answers, taken = [ProcessError(expected="a", got="b", where="c", fix="d"), None], []

    def deliver(files):
        answer = answers.pop(0)
        if answer:
            raise answer
        taken.extend(path.name for path in files)

    listener = Listener(inbox, deliver=deliver, retry_s=0.0)
    listener.turn()
    assert not inbox.manifest(SERIES).exists()
    listener.turn()

    assert taken == ["a.dcm"]
    assert inbox.manifest(SERIES).exists()


@pytest.mark.slow
def test_a_command_reads_the_series_and_writes_the_result(tmp_path):
    series, result = tmp_path / "s", tmp_path / "r"
    series.mkdir()
    result.mkdir()
    (series / "a.dcm").write_text("a")

    command_step(["cp", "{series}/a.dcm", "{result}/b.dcm"])(series, result)

    assert (result / "b.dcm").read_text() == "a"
    with pytest.raises(ProcessError, match=r"exit 1: cp: .*No such file"):
        command_step(["cp", "{series}/x", "{result}"])(series, result)
    with pytest.raises(UsageError, match="a command with"):
        command_step(["true"])


@pytest.mark.slow
def test_a_command_that_hangs_is_ended_with_its_children(tmp_path):
    began = time.monotonic()
    mark = tmp_path / "alive"
    script = f"(sleep 4; touch {mark}) & sleep 60 # {{result}}"

    with pytest.raises(ProcessError, match="nothing after 1 s"):
        command_step(["sh", "-c", script], longest_s=1)(tmp_path, tmp_path)

    assert time.monotonic() - began < 20
    threading.Event().wait(4.5)
    assert not mark.exists()
