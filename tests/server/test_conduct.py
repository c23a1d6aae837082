from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from federation_samples import evaluation
from flwr.common.constant import ErrorCode
from rich.console import Console
from unreliable_grid import Deployment, Fate, deployment, grid_study

from crisp_core.schema.messages import HintFigures
from crisp_core.trust.audit import audit_coordinator
from crisp_core.trust.keys import load_signing_key, public_pem
from crisp_server.conduct import conduct
from crisp_server.flower import GridSites
from crisp_server.roster import Roster
from crisp_server.summary import summarise
from crisp_server.terminal import watching

HINTS = HintFigures(
    case_count=3,
    core_precision=1.0,
    core_recall=1.0,
    support_precision=1.0,
    support_recall=1.0,
    support_coverage=0.5,
    uncertain=0.1,
    changed=None,
    pixels_changed=None,
    seconds=0.0,
)


def federation(folder: Path, **federation: object) -> Deployment:
    """A whole study of hospitals that move weights and measure nothing in earnest."""
    here = deployment(folder, grid_study(**federation))
    for name, hospital in here.grid.hospitals.items():
        hospital.centre += 100.0  # far away: every round all of them pull the same way
        hospital.figures["hints"] = HINTS.model_dump_json()
        hospital.figures["evaluate"] = evaluation(name, [0.5]).model_dump_json()
    return here


def run_on(here: Deployment) -> None:
    conduct(here.run, GridSites(here.grid, here.run))


def test_a_run_without_some_site_says_so_first_with_the_rounds_and_the_reason(
    tmp_path: Path,
) -> None:
    here = federation(tmp_path, quorum=2)
    fails = Fate(error=ErrorCode.CLIENT_APP_RAISED_EXCEPTION)
    here.grid.fates["west"] = [Fate(), fails, fails]  # described, then twice

    run_on(here)
    summary = summarise(here.run)

    said = "DEGRADED: west missing in rounds 1-2 (flower-2: The site did not finish)"
    assert summary.degraded == here.run.load()[1].degraded == said
    assert any("2 of 4 rounds fewer than 3 updates" in warning for warning in summary.warnings)


def test_a_whole_run_is_not_degraded(tmp_path: Path) -> None:
    here = federation(tmp_path)

    run_on(here)

    summary = summarise(here.run)
    assert summary.degraded == ""
    assert not any("fewer than" in warning for warning in summary.warnings)


@pytest.mark.slow
def test_a_coordinator_that_was_killed_keeps_every_signed_record(tmp_path: Path) -> None:
    here = federation(tmp_path)
    whole = federation(tmp_path / "whole")
    run_on(whole)
    here.grid.push_messages = _killed_after(here, 6)
    with pytest.raises(InterruptedError):
        run_on(here)
    del here.grid.push_messages
    before = [entry.hash for entry in here.run.ledger.entries()]

    run_on(here)

    entries = here.run.ledger.entries()
    assert [entry.hash for entry in entries][: len(before)] == before
    assert [entry.event for entry in entries].count("resumed") == 1
    keys = Roster.load(here.home.roster).known_keys()
    pem = public_pem(load_signing_key(here.home.signing_key))
    assert audit_coordinator(here.run.ledger.path, keys, pem) == ()
    assert summarise(here.run).model_hash == summarise(whole.run).model_hash


def _killed_after(here: Deployment, count: int):
    left, push = [count], here.grid.push_messages

    def pushed(messages):
        left[0] -= 1
        if left[0] < 0:
            raise InterruptedError
        return push(messages)

    return pushed


def test_the_report_of_a_deployment_leaves_the_records_to_the_audit(tmp_path: Path) -> None:
    here = federation(tmp_path)

    run_on(here)

    assert "record" in {entry.event for entry in here.run.ledger.entries()}
    assert "record" not in {line["event"] for line in summarise(here.run).ledger}


@pytest.mark.slow
def test_a_late_update_is_said_in_the_warnings_and_in_the_ledger(tmp_path: Path) -> None:
    here = federation(tmp_path, quorum=2, timeout_s=0.6, late="next-round")
    here.grid.fates["west"] = [Fate(), Fate(after_s=0.8)]

    run_on(here)

    summary = summarise(here.run)
    assert [entry.late for entry in summary.rounds] == [{}, {"west": 1}, {}, {}]
    said = "What west gave to round 2 was trained on the model of round 1, and counted for less"
    assert said in summary.warnings
    admitted = [e.fields for e in here.run.ledger.entries() if e.event == "admitted"]
    assert [fields["site"] for fields in admitted if fields.get("late") == 1] == ["west"]


def test_a_site_that_drifted_away_from_the_others_and_counted_is_named(tmp_path: Path) -> None:
    here = federation(tmp_path)
    run_on(here)
    model, progress = here.run.load()
    apart = {"agreement": {"east": 0.1, "north": 0.1, "west": -0.3}}  # the two agree by 0.5
    first, *later = progress.rounds
    rounds = (first, *(one.model_copy(update=apart) for one in later))

    here.run.save(model, progress.model_copy(update={"rounds": rounds}))

    (said,) = [one for one in summarise(here.run).warnings if "pulled against" in one]
    assert said.startswith("west pulled against the others, which agreed, in rounds 2-4, and")


def test_the_terminal_names_absent_sites_and_shows_a_fault_as_text(tmp_path: Path) -> None:
    study, events, screen = grid_study(), tmp_path / "events.jsonl", io.StringIO()
    lines = [
        {"event": "asked", "action": "train", "sites": ["east", "north", "west"]},
        {"event": "absent", "action": "train", "sites": ["north", "west"]},
        {"event": "absent", "action": "train", "sites": ["west"]},
        {"event": "answered", "action": "train", "site": "east", "fault": "data: [bold]x[/bold]"},
    ]
    with watching(study, events, Console(file=screen, width=120), "tiny"):
        events.write_text("".join(json.dumps(line) + "\n" for line in lines))

    shown = screen.getvalue()
    assert "data: [bold]x[/bold]" in shown
    assert "west   source    not online, looked for" in shown
    assert "north  source    online again, asked" in shown


@pytest.mark.slow
def test_a_hint_that_is_missing_at_one_site_stops_the_run_and_it_can_go_on(tmp_path: Path) -> None:
    here = federation(tmp_path, timeout_s=0.5)
    here.grid.fates["west"] = [Fate(), Fate(), Fate(), Fate(), replace(Fate(), after_s=60)]
    sites = GridSites(here.grid, here.run)

    with pytest.raises(Exception, match=r"'hints', got no answer in time.*'west'"):
        conduct(here.run, sites)
    run_on(here)

    assert summarise(here.run).degraded == ""
