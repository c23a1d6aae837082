from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hospital import resident, wait_for
from site_samples import east
from synthetic import write_site

from crisp_client import errand
from crisp_client.actions import answered
from crisp_client.approval import network_of
from crisp_client.errand import LENGTHS, ask_resident, insist_on_same_user, short_address
from crisp_client.home import SiteHome
from crisp_client.outbox import Departure
from crisp_client.requests import Request
from crisp_core.schema.messages import SiteDescription, TrainPlan

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteHome]:
    """A resident that every test may ask and none may end."""
    home = home_in(tmp_path_factory.mktemp("site"))
    with resident(home):
        yield home


def home_in(folder: Path) -> SiteHome:
    home = SiteHome(folder / "home")
    home.path.mkdir()
    return home


def to_train(folder: Path, *, steps: int = 2) -> Request:
    settings, study = east(folder, training={"steps": max(12, steps), "batch_size": 4})
    plan = TrainPlan(generation=1, round_number=1, first_step=0, steps=steps, models=())
    return Request(settings, study, plan.model_dump_json(), network_of(study), "train", "a" * 32)


def same_but_for_time(one: Departure, other: Departure) -> bool:
    figures = [d.figures.model_dump(exclude={"seconds"}) for d in (one, other)]
    arrays = [{n: a.tobytes() for n, a in d.parameters.items()} for d in (one, other)]
    rest = [(d.case_count, d.patients, d.epochs, d.fault) for d in (one, other)]
    names = [list(d.parameters) for d in (one, other)]
    return all(first == second for first, second in (figures, arrays, rest, names))


def test_the_resident_answers_with_the_bytes_of_this_process(
    running: SiteHome, tmp_path: Path
) -> None:
    request = to_train(tmp_path)
    here = answered(request)

    first, second = (ask_resident(running.resident, request) for _ in range(2))

    assert first is not None
    assert second is not None
    assert same_but_for_time(first, here)
    assert same_but_for_time(second, here)
    assert first.epochs == 2 * 4 / 8


def test_a_fault_at_the_resident_is_the_fault_of_this_process(
    running: SiteHome, tmp_path: Path
) -> None:
    request = to_train(tmp_path)
    broken = Request(request.settings, request.study, "no plan", {}, "train")

    departure = ask_resident(running.resident, broken)

    assert departure == answered(broken)
    assert departure.fault is not None


def test_nobody_at_the_socket_is_no_answer(tmp_path: Path) -> None:
    home = home_in(tmp_path)

    assert ask_resident(home.resident, to_train(tmp_path)) is None


def test_a_resident_killed_in_the_middle_is_no_answer_and_another_takes_its_place(
    tmp_path: Path,
) -> None:
    home, long = home_in(tmp_path), to_train(tmp_path, steps=100_000)

    with resident(home) as process:
        threading.Timer(2.0, process.kill).start()
        assert ask_resident(home.resident, long) is None

    assert home.resident.exists()  # what a kill leaves behind
    request = to_train(tmp_path)
    with resident(home):
        departure = ask_resident(home.resident, request)
    assert departure is not None
    assert same_but_for_time(departure, answered(request))


def test_a_client_that_hangs_up_or_lies_costs_nobody_else_an_answer(
    running: SiteHome, tmp_path: Path
) -> None:
    request = to_train(tmp_path)

    with short_address(running.resident) as address:
        for words in (b"", b"\x00", LENGTHS.pack(2**31, 2**60), LENGTHS.pack(2, 0) + b"[]"):
            with socket.socket(socket.AF_UNIX) as rude:
                rude.connect(address)
                rude.sendall(words)
        with socket.socket(socket.AF_UNIX) as hasty:
            hasty.connect(address)
            errand.send_request(hasty, request)
        departure = ask_resident(running.resident, request)

    assert departure is not None
    assert departure.fault is None


def test_a_resident_of_another_version_is_not_asked(
    running: SiteHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = to_train(tmp_path)

    monkeypatch.setattr(errand, "VERSION", "0.0.0")  # as after an upgrade

    assert ask_resident(running.resident, request) is None


def test_a_run_that_begins_sees_the_cases_of_today(running: SiteHome, tmp_path: Path) -> None:
    request = to_train(tmp_path)
    describe = Request(request.settings, request.study, "", {}, "describe")

    before = ask_resident(running.resident, describe)
    names = {f"east-{patient}": f"p{patient}" for patient in range(5)}
    write_site(Path(request.settings.data[0]), names, shape=(20, 20, 4))
    after = ask_resident(running.resident, describe)

    assert [counted(departure) for departure in (before, after)] == [3, 5]


def counted(departure: Departure | None) -> int:
    assert departure is not None
    assert isinstance(departure.figures, SiteDescription)
    return departure.figures.patients


def test_the_socket_is_its_users_alone_and_gone_after_a_polite_end(tmp_path: Path) -> None:
    home = home_in(tmp_path)

    with resident(home) as process:
        mode = home.resident.stat().st_mode & 0o777
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=10)

    assert (mode, code, home.resident.exists()) == (0o600, 0, False)


def test_sigterm_ends_a_resident_at_work(tmp_path: Path) -> None:
    home, long = home_in(tmp_path), to_train(tmp_path, steps=100_000)

    with resident(home) as process:
        threading.Timer(2.0, process.terminate).start()
        assert ask_resident(home.resident, long) is None
        assert process.wait(timeout=10) == 0


def test_a_second_resident_is_refused_with_a_sentence(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    command = [sys.executable, "-m", "crisp_client.resident", str(home.path)]

    with resident(home):
        second = subprocess.run(command, capture_output=True, text=True, check=False)

    assert second.returncode == 3
    assert "one resident process" in second.stderr


def test_a_resident_without_its_parent_ends(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-m', "
        f"'crisp_client.resident', {str(home.path)!r}]); print(p.pid, flush=True); input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        orphan = int(parent.stdout.readline())
        wait_for(home)
        parent.kill()

    deadline = time.monotonic() + 10
    while home.resident.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not home.resident.exists()
    assert not is_running(orphan)


def is_running(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
        time.sleep(0.05)
    return True


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_process_of_another_user_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "resident.sock"
    code = (
        "import os, socket, sys; s = socket.socket(socket.AF_UNIX); os.chdir(sys.argv[1]); "
        "s.bind('resident.sock'); os.setuid(65534); s.listen(); print(flush=True); s.accept()"
    )
    with (
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=-1) as stranger,
        socket.socket(socket.AF_UNIX) as connection,
    ):
        assert stranger.stdout is not None
        stranger.stdout.readline()
        with short_address(path) as address:
            connection.connect(address)
        with pytest.raises(PermissionError, match="65534"):
            insist_on_same_user(connection)


def test_arrays_of_every_form_survive_an_errand() -> None:
    arrays = {
        "z": np.float32([[1, 2], [3, 4]]).T,
        "a": np.array(5),
        "empty": np.zeros((0, 3), np.float64),
        "flags": np.array([True, False]),
    }
    ours, theirs = socket.socketpair()
    with ours, theirs:
        errand.send_departure(ours, Departure(parameters=arrays))
        arrived = errand._received_departure(theirs, "train").parameters  # noqa: SLF001 - the other end of a frame

    assert list(arrived) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(arrived[name], array)
        assert arrived[name].dtype == array.dtype
