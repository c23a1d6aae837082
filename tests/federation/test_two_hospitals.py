"""docs/get-started/two-hospitals.md, typed word for word on three hosts that know nobody else."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from federation.deployment import COORDINATOR, Federation, Started, note
from federation.hosts import hosts, needs_hosts
from synthetic import write_site

pytestmark = [pytest.mark.flower, pytest.mark.slow, pytest.mark.timeout(600), needs_hosts]

PAGE = Path(__file__).parents[2] / "docs" / "get-started" / "two-hospitals.md"
PATIENTS = 30
HOSPITALS = ("north", "south")
CONNECT_ELSEWHERE = "import socket; socket.create_connection(('192.0.2.1', 443), 3)"


def blocks(language: str) -> list[str]:
    """Return the page's blocks in this language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def commands(block: str, name: str = "") -> list[list[str]]:
    """Return the words of each line; the other hospital types its own name."""
    return [shlex.split(line.replace("north", name or "north")) for line in block.splitlines()]


class Typist(Federation):
    """Types what the page says and nothing else."""

    def __init__(self, folder: Path, net) -> None:
        super().__init__(folder, net)
        self.typed: list[tuple[str, ...]] = []

    def until(self, place: str, words: list[str], sign: str) -> Started:
        """Type a command that goes on, and wait for the sign that the page names."""
        self.typed.append((place, *words))
        running = self.launch(place, *words)
        self.wait_for(lambda: sign in running.said(), 120, f"{words} says {sign!r}")
        return running

    def answer(self, place: str, words: list[str], yes: bytes = b"") -> str:
        """Type a command that ends, at a terminal, and answer its question."""
        self.typed.append((place, *words))
        keyboard, terminal = os.openpty()
        os.write(keyboard, yes)
        try:
            done = self.net[place].run(
                *words, cwd=self._place(place), env=self._environment(), stdin=terminal
            )
        finally:
            os.close(terminal)
            os.close(keyboard)
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{words}: {said}"
        return said


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Typist, dict[str, float]]]:
    """The page from its first command to its last, and what took how many seconds."""
    folder = tmp_path_factory.mktemp("two-hospitals")
    bring_images(folder)
    [study], [ours, theirs] = blocks("toml"), blocks("sh")
    provision, up, run = commands(ours)
    with hosts(COORDINATOR, *HOSPITALS) as net, Typist(folder, net) as typist:
        began = time.monotonic()
        for host in net.values():
            host.know({"coordinator.example": net[COORDINATOR].address})
        (folder / COORDINATOR).mkdir()
        (folder / COORDINATOR / "study.toml").write_text(study)
        typist.answer(COORDINATOR, provision)
        typist.until(COORDINATOR, up, "ready")
        seconds = {name: become_ready(typist, name, theirs) for name in HOSPITALS}
        running = typist.until(COORDINATOR, run, "")
        events = typist.home.runs / "cardiac" / "events.jsonl"
        typist.wait_for(
            lambda: events.exists() and "TrainRound" in events.read_text(), 200, "the first round"
        )
        seconds["first round"] = time.monotonic() - began
        typist.wait_for(lambda: running.process.poll() is not None, 240, "crisp run ends")
        yield typist, seconds


def bring_images(folder: Path) -> None:
    """Give each hospital its folder."""
    for number, name in enumerate(HOSPITALS):
        place = folder / name / "data" / name
        write_site(place, PATIENTS, shape=(32, 32, 4), class_count=3, seed=number)


def become_ready(typist: Typist, name: str, block: str) -> float:
    """Type a hospital's three commands; return the seconds until it waits for work."""
    shutil.copy(typist.home.tokens / f"{name}.token", typist.folder / name)  # handed over
    join, check, start = commands(block, name)
    began = time.monotonic()
    typist.answer(name, join, yes=b"y\n")
    typist.answer(name, check)
    typist.until(name, start, "ready")
    return time.monotonic() - began


def test_the_pages_commands_end_with_a_report(typed) -> None:
    typist, _ = typed

    running = typist.started["coordinator-run"]
    assert running.process.returncode == 0, running.said() + typist.logs()
    assert (typist.home.runs / "cardiac" / "report.html").is_file()


def test_three_commands_on_each_machine_are_enough(typed) -> None:
    typist, _ = typed

    count = {place: sum(words[0] == place for words in typist.typed) for place in typist.net}
    note("commands", **count)
    assert count == {COORDINATOR: 3, "north": 3, "south": 3}


def test_a_hospital_is_ready_half_a_minute_after_it_begins_to_type(typed) -> None:
    _, seconds = typed

    note("two hospitals", **{name: round(value, 1) for name, value in seconds.items()})
    assert all(seconds[name] < 30 for name in HOSPITALS), seconds


def test_no_host_can_speak_to_anything_but_the_others(typed) -> None:
    typist, _ = typed

    for host in typist.net.values():
        said = subprocess.run(
            host.command(sys.executable, "-c", CONNECT_ELSEWHERE),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "unreachable" in said.stderr
        routes = host.run("ip", "route").stdout.splitlines()
        assert len(routes) == 1
        assert routes[0].startswith("10.")


def test_no_process_listens_beyond_loopback_but_the_coordinators_one_port(typed) -> None:
    typist, _ = typed

    listening = {
        place: [line.split()[3] for line in host.run("ss", "-Htln").stdout.splitlines()]
        for place, host in typist.net.items()
    }
    beyond = {
        place: [one for one in found if not one.startswith(("127.", "[::1]", "[::ffff:127."))]
        for place, found in listening.items()
    }
    assert beyond == {COORDINATOR: ["0.0.0.0:8443"], "north": [], "south": []}
