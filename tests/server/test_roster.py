from __future__ import annotations

import threading
from pathlib import Path

import pytest

from crisp_core.errors import RunStateError, UsageError
from crisp_server.roster import Roster, RosterEntry, change_roster


def saved_roster(folder: Path) -> Path:
    path = folder / "roster.json"
    Roster(
        entries=(
            RosterEntry(site="east", state="admitted", signing_key="EAST"),
            RosterEntry(site="north", state="revoked", signing_key="NORTH"),
            RosterEntry(site="south"),
        )
    ).save(path)
    return path


def test_only_an_admitted_site_has_a_signing_key(tmp_path: Path) -> None:
    roster = Roster.load(saved_roster(tmp_path))

    assert roster.signing_keys() == {"east": "EAST"}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = saved_roster(tmp_path)

    roster = Roster.load(path)
    roster.save(path)

    assert Roster.load(path) == roster


def test_a_damaged_or_absent_roster_is_named(tmp_path: Path) -> None:
    path = saved_roster(tmp_path)
    path.write_text(path.read_text()[:50])

    with pytest.raises(RunStateError, match="damaged"):
        Roster.load(path)
    with pytest.raises(RunStateError, match="crisp provision"):
        Roster.load(tmp_path / "nowhere.json")


def test_a_name_that_the_study_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="east, north, south"):
        Roster.load(saved_roster(tmp_path)).entry("nort")


def test_two_changes_at_the_same_moment_are_both_kept(tmp_path: Path) -> None:
    path = saved_roster(tmp_path)

    def lengthened(roster: Roster) -> Roster:
        entry = roster.entry("south")
        return roster.replaced(entry.model_copy(update={"node_key": entry.node_key + "x"}))

    threads = [
        threading.Thread(target=lambda: [change_roster(path, lengthened) for _ in range(20)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(Roster.load(path).entry("south").node_key) == 80


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = saved_roster(tmp_path)
    before = path.read_bytes()

    with pytest.raises(UsageError):
        change_roster(path, lambda roster: roster.replaced(roster.entry("nobody")))

    assert path.read_bytes() == before


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = saved_roster(tmp_path)
    path.with_suffix(".lock").mkdir()

    with pytest.raises(RunStateError, match="can be written"):
        change_roster(path, lambda roster: roster)
