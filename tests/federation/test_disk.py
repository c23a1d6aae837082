from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from federation_on_disk import tiny_options, tiny_study

from crisp_core.errors import CrispError, RunStateError
from crisp_server.simulate import carry_on, start, words_of_sites
from crisp_server.store import RunFolder

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None,
    reason="mounting a small disk needs root: run these tests in a container",
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[str], None]]]:
    """A mounted disk and a function that remounts it with other options."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], check=False
    )
    if mount.returncode != 0:
        pytest.skip("mount was refused: run these tests where a tmpfs can be mounted")

    def remount(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)

    yield place, remount
    subprocess.run(["umount", str(place)], check=True)


def filled(disk: Path) -> Path:
    """Leave 100 kB of the disk free."""
    free = shutil.disk_usage(disk).free - 100_000
    (disk / "ballast").write_bytes(bytes(free))
    return disk / "ballast"


def test_a_full_disk_ends_with_a_sentence_and_the_run_goes_on_when_there_is_room(
    tmp_path: Path, disk, capfd
) -> None:
    study = tiny_study(tmp_path)
    reference = start(study, tmp_path / "reference", tiny_options())
    carry_on(reference, lambda _: None)
    run = start(study, disk[0] / "run", tiny_options())
    ballast = filled(disk[0])

    with pytest.raises(CrispError) as caught:
        carry_on(run, lambda _: None)

    told = [str(caught.value), *words_of_sites(run), capfd.readouterr().err]
    assert any("No space left" in words for words in told)
    assert caught.value.exit_code == 3
    ballast.unlink()
    carry_on(run, lambda _: None)
    names = [r.path / "model.safetensors" for r in (reference, run)]
    assert names[0].read_bytes() == names[1].read_bytes()


def test_a_read_only_run_folder_ends_with_a_sentence(tmp_path: Path, disk) -> None:
    place, remount = disk
    run = start(tiny_study(tmp_path), place / "run", tiny_options())
    remount("ro")

    with pytest.raises(RunStateError, match=r"[Rr]ead-only") as caught:
        carry_on(RunFolder.open(run.path), lambda _: None)
    with pytest.raises(RunStateError, match=r"[Rr]ead-only"):
        start(tiny_study(tmp_path), place / "other", tiny_options())

    assert caught.value.exit_code == 3
    remount("rw")
    carry_on(run, lambda _: None)
