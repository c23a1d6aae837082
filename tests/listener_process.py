"""`crisp-client listen` as a process of its own, for tests that send it something or kill it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dicom_samples import SERIES

WAIT_S = 120


class Listener:
    """`crisp-client listen` in a process of its own."""

    def __init__(self, home: Path, *words: str, quiet: float = 0.5, port: int = 0) -> None:
        self.home = home
        home.mkdir(exist_ok=True)
        code = "from crisp_client.cli import main; main()"
        options = ["--home", home, "--port", str(port), "--from", "SCANNER", "--quiet", str(quiet)]
        self.log = home / "said.txt"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, "listen", *options, *words],
                stdout=log,
                stderr=log,
            )
        until(lambda: "listens on" in self.log.read_text())
        self.port = int(re.search(r"listens on \S+:(\d+)", self.log.read_text())[1])

    def push(self, folder: Path, *, caller: str = "SCANNER", called: str = "CRISP"):
        words = ["/usr/bin/storescu", "-aet", caller, "-aec", called, "+sd", "-R"]
        return subprocess.Popen(
            [*words, "127.0.0.1", str(self.port), folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@contextmanager
def listener(home: Path, *words: str, **options) -> Iterator[Listener]:
    started = Listener(home, *words, **options)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


def until(holds: Callable[[], bool], seconds: float = WAIT_S) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def done(home: Path, series: str = SERIES) -> Path:
    return home / "inbox" / "done" / f"{series}.json"
