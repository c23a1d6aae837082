from __future__ import annotations

from pathlib import Path

import pytest

from crisp_core.errors import CrispError, RunStateError, SiteFailedError
from crisp_server.events import EventLog, failure_in, read_events


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path / "events.jsonl")


def test_a_run_ends_with_the_error_that_ended_it_and_one_cure(log: EventLog) -> None:
    fix = "Mend it at the site, then `crisp resume`"
    log.write_failure(SiteFailedError(expected="a description", got="none", where="east", fix=fix))

    error = failure_in(log.path, "crisp resume runs/a")

    assert isinstance(error, SiteFailedError)
    assert str(error) == (
        "Expected a description, got none (east). Mend it at the site, then `crisp resume runs/a`."
    )


def test_a_crash_is_told_without_its_words(log: EventLog) -> None:
    log.write("failed", sentence="An unexpected error ended the run (KeyError); see the log.")

    error = failure_in(log.path, "crisp resume runs/a")

    assert type(error) is RunStateError
    assert str(error).count("Mend it") == 1
    assert "KeyError" in error.got


@pytest.mark.parametrize("text", ["", "\n", "{", "[1]\n", '"failed"\n', "\x00\x00\n", '{"a": 1}\n'])
def test_damaged_events_still_give_a_sentence(log: EventLog, text: str) -> None:
    log.path.write_text(text)

    assert read_events(log.path)[0] == []
    assert isinstance(failure_in(log.path, "crisp resume a"), CrispError)


def test_a_line_that_is_still_being_written_is_read_when_it_is_whole(log: EventLog) -> None:
    log.write("started", steps_done=1)
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + whole[:9])

    first, position = read_events(log.path)
    log.path.write_bytes(whole + whole)
    second, _ = read_events(log.path, position)

    assert len(first) == len(second) == 1
