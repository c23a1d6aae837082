from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from federation_on_disk import tiny_options, tiny_study

from crisp_server.simulate import start
from crisp_server.store import RunFolder


class Zygote:
    """A warm process that forks one run at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready"

    def carry_on(self, run: RunFolder, kill_after_s: float | None = None) -> int:
        """Carry a run on; kill -9 it after so many seconds; return its exit code."""
        self._process.stdin.write(f"{run.path}\n")
        self._process.stdin.flush()
        child = int(self._line())
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return int(self._line())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=10)

    def _line(self) -> str:
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    warm = Zygote()
    yield warm
    warm.close()


def final_bytes(run: RunFolder) -> bytes:
    return (run.path / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [6, pytest.param(20, marks=pytest.mark.long)])
def test_kills_at_random_moments_leave_the_final_model_unchanged_to_the_byte(
    tmp_path: Path, zygote: Zygote, wanted: int
) -> None:
    study = tiny_study(tmp_path)
    reference = start(study, tmp_path / "uninterrupted", tiny_options())
    began = time.monotonic()
    assert zygote.carry_on(reference) == 0
    whole_s = time.monotonic() - began
    moments, kills, place = random.Random(7), 0, 0

    while kills < wanted:
        place += 1
        run = start(study, tmp_path / f"killed-{place}", tiny_options())
        while (code := zygote.carry_on(run, moments.uniform(0.0, whole_s))) != 0:
            assert code == -signal.SIGKILL
            kills += 1
        assert final_bytes(run) == final_bytes(reference)


@pytest.mark.slow
def test_a_finished_run_that_is_resumed_stays_as_it_is(tmp_path: Path, zygote: Zygote) -> None:
    run = start(tiny_study(tmp_path), tmp_path / "run", tiny_options())
    assert zygote.carry_on(run) == 0
    before, state = final_bytes(run), (run.path / "state.json").read_bytes()

    assert zygote.carry_on(run) == 0

    assert (final_bytes(run), (run.path / "state.json").read_bytes()) == (before, state)
