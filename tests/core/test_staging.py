from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crisp_core.errors import RunStateError
from crisp_core.files.staging import staged_folder

HANG = """
import sys, time
from pathlib import Path
from crisp_core.files.staging import staged_folder
with staged_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("written")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_there_when_the_block_ends_and_not_before(tmp_path: Path) -> None:
    place = tmp_path / "out" / "case"

    with staged_folder(place) as folder:
        (folder / "labels").write_text("1")
        assert not place.exists()

    assert [path.name for path in place.iterdir()] == ["labels"]
    assert list(place.parent.iterdir()) == [place]


def test_an_error_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RunStateError), staged_folder(tmp_path / "case") as folder:
        (folder / "absent" / "labels").write_text("1")

    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "old").write_text("precious")

    with (
        pytest.raises(RunStateError, match="Nothing is overwritten"),
        staged_folder(tmp_path / "case") as folder,
    ):
        (folder / "labels").write_text("1")

    assert (tmp_path / "case" / "old").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["case"]


def test_a_killed_writer_leaves_nothing_and_the_next_one_tidies_up(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HANG, str(tmp_path / "case")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        with staged_folder(tmp_path / "other"):
            pass
        busy = {path.name for path in tmp_path.iterdir()}
        os.kill(writer.pid, signal.SIGKILL)

    assert len(busy) == 2  # the other's half-written folder was left to it
    assert not (tmp_path / "case").exists()

    with staged_folder(tmp_path / "case"):
        pass

    assert {path.name for path in tmp_path.iterdir()} == {"case", "other"}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(RunStateError, match="Free space, mend the rights"),
        staged_folder(tmp_path / "file" / "case"),
    ):
        pass
