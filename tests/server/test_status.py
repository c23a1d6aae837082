from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from coordinator_homes import keys_of, made_home
from typer.testing import CliRunner, Result

from crisp_core.errors import ConnectionFailedError, RunStateError
from crisp_core.processes.supervisor import ChildStatus
from crisp_server.cli import app
from crisp_server.deployment.serverapp import conductor, end
from crisp_server.deployment.status import status_of
from crisp_server.deployment.submit import carry_on, opened_run
from crisp_server.deployment.up import changes
from crisp_server.events import EventLog
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster, change_roster
from crisp_server.store import RunFolder

HOLD = """
import sys, signal, time
sys.path[:0] = sys.argv[2].split(":")
from pathlib import Path
from crisp_server.store import RunFolder
if len(sys.argv) > 3:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with RunFolder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""


def begun(home: CoordinatorHome) -> RunFolder:
    return opened_run(home, "crisp run")


def log(run: RunFolder) -> EventLog:
    return EventLog(run.path / "events.jsonl")


def held(run: RunFolder, *stubborn: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", HOLD, str(run.path), ":".join(sys.path), *stubborn]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def crisp(home: CoordinatorHome, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--home", str(home.path)])


def test_without_a_coordinator_that_is_up_status_says_how_to_start_it(tmp_path: Path) -> None:
    home = made_home(tmp_path)

    found = status_of(home)

    assert found.sentence == "not up: start it with `crisp up`"
    assert found.sites == {"east": "not joined", "north": "not joined", "south": "not joined"}


def test_a_run_remembers_its_home_and_is_opened_again(tmp_path: Path) -> None:
    home = made_home(tmp_path)

    first, again = begun(home), begun(home)

    assert first.path == again.path
    assert again.facts.home == str(home.path.resolve())
    assert again.facts.commands == ("crisp run", "crisp run")


def test_the_process_that_conducts_a_run_is_found_and_ended(tmp_path: Path) -> None:
    run = begun(made_home(tmp_path))
    other = begun(made_home(tmp_path / "other"))
    with held(run) as process:
        assert conductor(run) == process.pid
        assert conductor(other) is None

        end(run)

        assert conductor(run) is None
        assert process.wait(timeout=5) == -15


def test_one_that_will_not_end_is_killed(tmp_path: Path) -> None:
    run = begun(made_home(tmp_path))
    with held(run, "stubborn") as process:
        end(run, grace_s=0.5)

        assert process.wait(timeout=5) == -9


def test_looking_for_the_conductor_does_not_hold_the_lock(tmp_path: Path) -> None:
    run = begun(made_home(tmp_path))
    with run.locked():
        pass

    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        conductor(run)
        with run.locked():
            pass


def test_status_follows_a_run_from_its_start_to_its_end(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    run = begun(home)
    assert status_of(home).sentence == "not up: start it with `crisp up`"

    log(run).write("started", steps_done=3)
    with held(run) as process:
        told = status_of(home).sentence
        assert told.startswith("not up: start it with `crisp up`, 3 of at most")
        process.kill()
        process.wait()
    assert "stopped: continue with `crisp up`, then `crisp resume" in status_of(home).sentence
    log(run).write("failed", sentence="Expected x, got y (z). Mend it.", exit_code=3)
    assert status_of(home).sentence == "failed: Expected x, got y (z). Mend it."

    log(run).write("started", steps_done=3)
    log(run).write("finished", model="m")
    assert status_of(home).sentence.startswith("finished: ")


def test_who_was_missing_comes_first(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    run = begun(home)
    for number in (1, 2):
        run.ledger.append("missing", site="north", round=number, reason="no answer in time")
    log(run).write("finished", model="m")

    found = status_of(home).sentence

    assert found.startswith("DEGRADED: without north in round 1, 2. finished")


def test_a_run_is_not_submitted_while_nobody_serves_the_home(tmp_path: Path) -> None:
    run = begun(made_home(tmp_path))

    with pytest.raises(ConnectionFailedError, match="crisp up"):
        carry_on(run, lambda _line: None)


def test_a_child_that_dies_and_comes_back_is_one_line_each() -> None:
    def child(pid: int, state: str, last: int | None) -> ChildStatus:
        return ChildStatus("nginx", pid, state, 0, last, "bind() failed")

    alive, dead, back = child(5, "running", None), child(0, "waiting", -9), child(6, "running", -9)

    assert changes([alive], [alive]) == []
    assert changes([alive], [dead]) == ["nginx ended (signal 9) and is restarted: bind() failed"]
    assert changes([dead], [back]) == ["nginx runs again"]


def test_sites_are_listed_revoked_and_let_in_again(tmp_path: Path) -> None:
    home, keys = made_home(tmp_path), keys_of(tmp_path / "keys")
    change_roster(
        home.roster,
        lambda r: r.replaced(r.entry("north").model_copy(update={"state": "admitted", **keys})),
    )

    listed = json.loads(crisp(home, "sites", "list", "--json").stdout)
    assert {entry["site"]: entry["state"] for entry in listed} == {
        "east": "invited",
        "north": "admitted",
        "south": "invited",
    }
    assert "token" not in crisp(home, "sites", "list", "--json").stdout

    assert crisp(home, "sites", "revoke", "north").exit_code == 0
    assert Roster.load(home.roster).entry("north").state == "revoked"
    assert crisp(home, "sites", "token", "north").exit_code == 2
    assert crisp(home, "sites", "admit", "north").exit_code == 0
    assert crisp(home, "sites", "token", "north").exit_code == 0
    assert crisp(home, "sites", "revoke", "nort").exit_code == 2


def test_a_token_is_never_on_the_screen(tmp_path: Path) -> None:
    home = made_home(tmp_path)

    said = crisp(home, "sites", "token", "north")

    assert "north.token" in said.output
    assert "crisp1." not in said.output


def test_an_audit_names_the_first_broken_line(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    run = begun(home)
    for number in range(3):
        run.ledger.append("missing", site="north", round=number, reason="late")
    assert crisp(home, "audit").exit_code == 0
    lines = run.ledger.path.read_text().splitlines()
    lines[1] = lines[1].replace("late", "lost")
    run.ledger.path.write_text("\n".join(lines) + "\n")

    said = crisp(home, "audit")

    assert said.exit_code == 3
    assert "ledger.jsonl:2" in said.stdout


def test_commands_without_a_home_say_so(tmp_path: Path) -> None:
    home = CoordinatorHome(tmp_path / "nowhere")

    for words in (["status"], ["run"], ["stop"], ["watch"], ["audit"], ["sites", "list"]):
        said = crisp(home, *words)
        assert said.exit_code in (2, 3), words
        assert "crisp provision" in said.output, words
    with pytest.raises(RunStateError):
        status_of(home)


def test_a_study_that_was_changed_after_its_run_began_is_not_passed_off_as_that_run(
    tmp_path: Path,
) -> None:
    home = made_home(tmp_path)
    begun(home)
    home.study.write_text(home.study.read_text().replace('"steps": 12', '"steps": 13'))

    with pytest.raises(RunStateError, match="another study of the same name"):
        begun(home)


def test_a_false_alarm_of_the_verdict_is_accepted_in_the_run_that_it_stopped(
    tmp_path: Path,
) -> None:
    home = made_home(tmp_path)
    begun(home)

    run = opened_run(home, "crisp run", ["north:spacing"])

    assert run.study.federation.accept_verdict == ("north:spacing",)
    assert begun(home).study.federation.accept_verdict == ("north:spacing",)
    done = crisp(home, "run", "--accept", "north spacing")
    assert (done.exit_code, "north:spacing" in done.output) == (2, True)


@pytest.mark.parametrize("content", ["", "[1]", '{"run_id": null}', "{}", "\x00"])
def test_a_damaged_note_of_a_submission_is_no_submission(tmp_path: Path, content: str) -> None:
    home = made_home(tmp_path)
    run = begun(home)
    home.running.mkdir()
    (home.running / "run.json").write_text(content)
    with held(run) as process:
        with pytest.raises(ConnectionFailedError, match="crisp up"):
            carry_on(run, lambda _line: None)
        process.kill()


def test_a_run_that_cannot_begin_ends_its_view_with_a_line(tmp_path: Path) -> None:
    done = crisp(made_home(tmp_path), "run")

    assert done.exit_code == 3
    assert "\nExpected a coordinator that is up" in done.output
