"""A prediction that is cut off, by a full disk or by a kill, leaves nothing half written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from released_samples import predictor, write_image, write_model

from crisp_client.prediction.inputs import sources_in
from crisp_client.prediction.run import Options, predict
from crisp_core.errors import RunStateError

WAIT_S = 240


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted disk of 64 kB; skipped where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(words, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root: run these tests in a container")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no mount")
def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path, small_disk: Path) -> None:
    write_image(tmp_path / "case.nii.gz", (96, 96, 4))
    model = predictor(tmp_path / "model")

    [outcome] = predict(model, sources_in(tmp_path / "case.nii.gz"), small_disk, Options())

    assert isinstance(outcome.error, RunStateError)
    assert "No space left" in str(outcome.error)
    assert list(small_disk.iterdir()) == []


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_killed_prediction_leaves_whole_answers_only_and_goes_on(tmp_path: Path) -> None:
    for number in range(40):
        write_image(tmp_path / "in" / f"case-{number:02d}.nii.gz", seed=number)
    write_model(tmp_path / "model")
    out = tmp_path / "out"
    code = "from crisp_client.cli import main; main()"
    words = ["predict", str(tmp_path / "model"), str(tmp_path / "in"), "-o", str(out)]
    command = [sys.executable, "-c", code, *words, "--threads", "1"]

    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + WAIT_S
        while not list(out.glob("case-*/prediction.json")) and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)

    answered = sorted(out.glob("case-*"))
    assert 0 < len(answered) < 40
    assert all((place / "prediction.json").exists() for place in answered)
    before = {path: path.stat().st_mtime_ns for place in answered for path in place.iterdir()}

    assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0

    assert len(list(out.glob("case-*"))) == 40
    assert not list(out.glob(".*crisp-tmp"))
    assert {path: path.stat().st_mtime_ns for path in before} == before
