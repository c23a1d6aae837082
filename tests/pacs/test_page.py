"""What docs/how-to/pacs.md tells to type works as it stands, on a real PACS."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_samples import SERIES, phantom, save, series_of
from pacs_on_loopback import LISTEN, PASSWORD, USER

from crisp_core.files.dicom.series import read_series

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "pacs.md"
WAIT_S = 120


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def here() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def typed(words: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-e", "-c", words],
        cwd=folder,
        env=here(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_page_can_be_typed_from_top_to_bottom(pacs, tmp_path):
    scan, site = save(tmp_path / "scan", series_of(phantom(3))), tmp_path / "crisp-site"
    pacs.push(scan)
    site.mkdir()
    [places], [rights, fetching, listening, sending] = blocks("toml"), blocks("sh")
    (site / "pacs.toml").write_text(places)
    (site / "archive.secret").write_text(f"{USER}\n{PASSWORD}\n")

    typed(rights, tmp_path)
    said = typed(fetching, tmp_path)
    listener = subprocess.Popen(["bash", "-c", f"exec {listening}"], cwd=tmp_path, env=here())
    try:
        wait_until(is_listening)
        typed(sending, tmp_path)
        wait_until((site / "inbox" / "done" / f"{SERIES}.json").exists)
    finally:
        listener.terminate()
        listener.wait(WAIT_S)

    assert said.count("MR: 3 objects") == 2
    source = read_series(scan).volume.array
    for folder in ("images", "again", "crisp-site/inbox/results"):
        np.testing.assert_array_equal(read_series(tmp_path / folder / SERIES).volume.array, source)


def is_listening() -> bool:
    try:
        socket.create_connection(("127.0.0.1", LISTEN), timeout=1).close()
    except OSError:
        return False
    return True


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_every_folder_of_the_inbox_is_on_the_page() -> None:
    from crisp_client.pacs.inbox import STATES

    assert [state for state in STATES if f"| `{state}/` |" not in PAGE.read_text()] == []
