"""What is done with a complete series: a step takes its folder and fills the folder of its result.

A step runs in a process of its own wherever it is more than filing: what a hostile image does to
a decoder or a network's memory, it does there, and the listener lives on.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from crisp_core.errors import ProcessError, UsageError

Step = Callable[[Path, Path], None]
"""(folder of the series, folder of the result, which exists and is empty)."""
SERIES, RESULT = "{series}", "{result}"
LONGEST_S = 3600.0
TETHER = "crisp_client.pacs.tether"


def filed(series: Path, result: Path) -> None:
    """File the objects: the results' folder is then a cohort of series."""
    for path in sorted(series.glob("*.dcm")):
        shutil.copy2(path, result / path.name)


def command_step(words: Sequence[str], longest_s: float = LONGEST_S) -> Step:
    """Return a step that runs a command.

    Args:
        words: The command; `{series}` and `{result}` in them become the folders.
        longest_s: After which it is killed.

    Raises:
        UsageError: If the command names neither folder.
    """
    if not any(RESULT in word for word in words):
        raise UsageError(
            expected="a command with {series} and {result} in it",
            got=repr(" ".join(words)),
            where="--run",
            fix="Say where the command reads and where it writes",
        )

    def run(series: Path, result: Path) -> None:
        filled = [word.replace(SERIES, str(series)).replace(RESULT, str(result)) for word in words]
        _run(filled, longest_s)

    return run


def predict_step(model: Path, formats: Sequence[str], home: Path) -> Step:
    """Return a step that answers a series with a released model: `crisp-client predict`.

    Args:
        model: Its folder.
        formats: What an answer is written as.
        home: Of the site; its log of predictions gets a line of each.
    """
    chosen = [word for name in formats for word in ("--format", name)]
    command = "from crisp_client.cli import main; main()"
    words = [sys.executable, "-P", "-c", command, "predict", str(model.resolve()), SERIES]
    return command_step([*words, "--out", RESULT, "--home", str(home.resolve()), *chosen])


def _run(words: Sequence[str], longest_s: float) -> None:
    """Run a child in a group of its own that dies with us, and say its last words if it fails."""
    with subprocess.Popen(  # noqa: S603 - the hospital's own command
        [sys.executable, "-P", "-m", TETHER, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as child:
        try:
            said, _ = child.communicate(timeout=longest_s)
        except subprocess.TimeoutExpired:
            raise _failed(got=f"nothing after {longest_s:g} s") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    if child.returncode:
        last = " ".join(said.decode(errors="replace").split())[-600:]
        raise _failed(got=f"exit {child.returncode}: {last}")


def _failed(got: str) -> ProcessError:
    return ProcessError(
        expected="a result",
        got=got,
        where="the step that works on a series",
        fix="Mend what it says, then send the series again",
    )
