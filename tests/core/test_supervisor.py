from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from crisp_core.processes.groups import MARK, Group, group_of, is_alive, is_ours
from crisp_core.processes.supervisor import Child, Pace, Supervisor, read_status

QUICK = Pace(first_s=0.1, longest_s=0.4, healthy_s=30.0)
SLEEP = "import time; time.sleep(600)"
IGNORE_TERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('deaf', flush=True); time.sleep(600)"
)
WITH_GRANDCHILD = (
    "import subprocess, sys; "
    "command = [sys.executable, '-c', 'import time; time.sleep(600)']; "
    "print(subprocess.Popen(command).pid, flush=True)"
)


def child(folder: Path, name: str, script: str, *, keep_orphans: bool = False) -> Child:
    command = (sys.executable, "-c", script)
    log = folder / f"{name}.jsonl"
    return Child(name, command, dict(os.environ), folder, log, keep_orphans)


@contextmanager
def supervised(folder: Path, *children: Child, pace: Pace = QUICK) -> Iterator[Supervisor]:
    supervisor = Supervisor(children, folder / "state.json", pace=pace)
    try:
        supervisor.start()
        yield supervisor
    finally:
        supervisor.stop(0.2)


def eventually(true: Callable[[], bool], tick: Callable[[], None] = lambda: None) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        tick()
        if true():
            return True
        time.sleep(0.02)
    return False


def lines(log: Path) -> list[str]:
    return [json.loads(line)["line"] for line in log.read_text().splitlines()]


def said(log: Path) -> Callable[[], bool]:
    return lambda: log.exists() and bool(lines(log))


def test_a_child_that_dies_again_and_again_is_restarted_ever_more_slowly(tmp_path: Path) -> None:
    crash = child(tmp_path, "crash", "import time; print(time.monotonic()); raise SystemExit(7)")

    with supervised(tmp_path, crash) as supervisor:
        assert eventually(lambda: supervisor.status()[0].restarts == 3, supervisor.check)
        assert eventually(lambda: supervisor.status()[0].state == "waiting", supervisor.check)

        assert supervisor.status()[0].last_exit == 7
        starts = [float(line) for line in lines(crash.log)]
        first, second, third = (b - a for a, b in pairwise(starts))
        assert first > 0.1
        assert second > 0.2
        assert third > 0.4


def test_a_child_that_stayed_healthy_is_restarted_after_the_first_pause_again(
    tmp_path: Path,
) -> None:
    pace = Pace(first_s=0.2, longest_s=60.0, healthy_s=0.1)
    mortal = child(tmp_path, "mortal", "import time; print(time.monotonic()); time.sleep(0.3)")

    with supervised(tmp_path, mortal, pace=pace) as supervisor:
        assert eventually(lambda: supervisor.status()[0].restarts == 4, supervisor.check)
        assert eventually(lambda: len(lines(mortal.log)) == 5, supervisor.check)

    *_, last_but_one, last = (float(line) for line in lines(mortal.log))
    assert last - last_but_one < 1.6  # the fourth pause if they were doubled


def test_a_program_that_cannot_start_is_tried_again_and_says_why(tmp_path: Path) -> None:
    absent = Child("absent", ("/no/such/program",), {}, tmp_path, tmp_path / "absent.jsonl")

    with supervised(tmp_path, absent) as supervisor:
        assert eventually(lambda: supervisor.status()[0].restarts == 2, supervisor.check)

        assert "/no/such/program" in supervisor.status()[0].last_line
        assert supervisor.status()[0].last_exit == 127


def test_a_grandchild_that_holds_the_pipe_delays_no_restart_and_is_ended(tmp_path: Path) -> None:
    parent = child(tmp_path, "parent", WITH_GRANDCHILD)

    with supervised(tmp_path, parent) as supervisor:
        assert eventually(lambda: supervisor.status()[0].restarts >= 1, supervisor.check)
        orphan = int(lines(parent.log)[0])

        assert not Path(f"/proc/{orphan}").exists() or zombie(orphan)


def test_orphans_that_are_to_be_kept_live_on_until_the_stop(tmp_path: Path) -> None:
    parent = child(tmp_path, "parent", WITH_GRANDCHILD, keep_orphans=True)

    with supervised(tmp_path, parent) as supervisor:
        assert eventually(lambda: supervisor.status()[0].restarts >= 1, supervisor.check)
        orphan = int(lines(parent.log)[0])
        assert Path(f"/proc/{orphan}").exists()
        assert not zombie(orphan)

    assert eventually(lambda: not Path(f"/proc/{orphan}").exists() or zombie(orphan))


def test_a_stop_kills_what_ignores_the_polite_signal(tmp_path: Path) -> None:
    deaf = child(tmp_path, "deaf", IGNORE_TERM)

    with supervised(tmp_path, deaf) as supervisor:
        assert eventually(said(deaf.log))
        pid = supervisor.status()[0].pid
        supervisor.stop(0.3)

        assert supervisor.status()[0].last_exit == -signal.SIGKILL
        assert supervisor.status()[0].state == "stopped"
        assert not is_alive(Group(pid, ""))


def test_run_looks_after_children_until_it_is_told_to_end(tmp_path: Path) -> None:
    until = threading.Event()

    with supervised(tmp_path, child(tmp_path, "sleeper", SLEEP)) as supervisor:
        thread = threading.Thread(target=supervisor.run, args=(until,))
        thread.start()
        os.kill(supervisor.status()[0].pid, signal.SIGKILL)
        restarted = eventually(lambda: supervisor.status()[0].restarts == 1)
        until.set()
        thread.join()

    assert restarted
    assert supervisor.status()[0].last_exit == -signal.SIGTERM


def test_a_retired_child_may_finish_and_is_not_restarted(tmp_path: Path) -> None:
    script = (
        "import signal, sys, time; "
        "signal.signal(signal.SIGUSR1, lambda *_: (time.sleep(0.5), print('done'), sys.exit(0))); "
        "print('here', flush=True); time.sleep(600)"
    )
    busy = child(tmp_path, "busy", script)

    with supervised(tmp_path, busy) as supervisor:
        assert eventually(said(busy.log))
        assert supervisor.retire("busy", signal.SIGUSR1, 10, threading.Event())

    assert lines(busy.log)[-1] == "done"
    assert supervisor.status()[0].last_exit == 0
    assert supervisor.status()[0].restarts == 0


def test_whoever_is_in_a_hurry_does_not_wait_for_a_retired_child(tmp_path: Path) -> None:
    hurry = threading.Event()
    hurry.set()

    with supervised(tmp_path, child(tmp_path, "slow", SLEEP)) as supervisor:
        assert not supervisor.retire("slow", signal.SIGWINCH, 10, hurry)


def test_the_state_file_says_what_status_says(tmp_path: Path) -> None:
    with supervised(tmp_path, child(tmp_path, "sleeper", SLEEP)) as supervisor:
        assert read_status(tmp_path / "state.json") == supervisor.status()

    assert read_status(tmp_path / "state.json")[0].state == "stopped"
    assert read_status(tmp_path / "absent.json") == ()


KILLED_SUPERVISOR = """
import os, sys, time
from pathlib import Path
from crisp_core.processes.supervisor import Child, Supervisor
folder = Path(sys.argv[1])
script = sys.argv[2]
child = Child("c", (sys.executable, "-c", script), dict(os.environ), folder, folder / "c.jsonl")
supervisor = Supervisor([child], folder / "state.json")
supervisor.start()
print(supervisor.status()[0].pid, flush=True)
time.sleep(600)
"""


def killed_supervisor(folder: Path, script: str) -> int:
    """Start a supervisor in a process of its own, kill it, and return its child's pid."""
    command = [sys.executable, "-c", KILLED_SUPERVISOR, str(folder), script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert eventually(said(folder / "c.jsonl"))
        process.kill()
    return pid


def test_what_a_killed_supervisor_left_is_ended_before_its_successor_starts(tmp_path: Path) -> None:
    pid = killed_supervisor(tmp_path, f"print('here', flush=True); {SLEEP}")
    assert is_alive(Group(pid, ""))

    with supervised(tmp_path, child(tmp_path, "c", SLEEP)) as supervisor:
        assert not is_alive(Group(pid, ""))
        assert supervisor.status()[0].pid != pid


def test_orphans_of_a_dead_child_of_a_killed_supervisor_are_ended_too(tmp_path: Path) -> None:
    pid = killed_supervisor(tmp_path, WITH_GRANDCHILD)
    orphan = int(lines(tmp_path / "c.jsonl")[0])
    assert eventually(lambda: not Path(f"/proc/{pid}").exists() or zombie(pid))
    assert not zombie(orphan)

    with supervised(tmp_path, child(tmp_path, "c", SLEEP)):
        assert not Path(f"/proc/{orphan}").exists() or zombie(orphan)


def test_a_process_that_was_given_a_recorded_number_later_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
    try:
        born = group_of(stranger.pid).born
        state = tmp_path / "state.json"
        groups = [{"pid": stranger.pid, "born": f"{born}0"}]
        state.write_text(json.dumps({"place": str(state), "children": [], "groups": groups}))

        with supervised(tmp_path, child(tmp_path, "c", SLEEP)):
            assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_copy_of_a_home_leaves_the_children_of_the_original_at_their_work(
    tmp_path: Path,
) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    for folder in (original, copy):
        folder.mkdir()
    with supervised(original, child(original, "c", SLEEP)) as first:
        (copy / "state.json").write_bytes((original / "state.json").read_bytes())

        with supervised(copy, child(copy, "c", SLEEP)):
            assert is_alive(Group(first.status()[0].pid, ""))


def test_a_group_without_its_leader_and_without_our_mark_is_nobody_of_ours(tmp_path: Path) -> None:
    script = f"{WITH_GRANDCHILD}; {SLEEP}"
    environment = {**os.environ, MARK: "another supervisor"}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, start_new_session=True, env=environment
    ) as leader:
        assert leader.stdout is not None
        orphan = int(leader.stdout.readline())
        group = group_of(leader.pid)
        leader.kill()
    try:
        assert not is_ours(group, str(tmp_path))
        assert is_ours(group, "another supervisor")
    finally:
        os.kill(orphan, signal.SIGKILL)


def zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", '{"children": 1}', '{"children": [{"a": 1}], "groups": [2]}', "\x00"]
)
def test_a_damaged_state_file_or_one_of_another_version_stops_nobody(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "state.json").write_text(text)
    assert read_status(tmp_path / "state.json") == ()

    with supervised(tmp_path, child(tmp_path, "a", SLEEP)) as supervisor:
        assert read_status(tmp_path / "state.json") == supervisor.status()


def test_a_state_that_cannot_be_written_stops_no_child(tmp_path: Path) -> None:
    (tmp_path / "state.new").mkdir()

    with supervised(tmp_path, child(tmp_path, "a", SLEEP)) as supervisor:
        supervisor.check()
        assert supervisor.status()[0].state == "running"

        (tmp_path / "state.new").rmdir()
        supervisor.check()
        assert read_status(tmp_path / "state.json") == supervisor.status()
