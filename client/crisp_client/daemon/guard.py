"""`python -m crisp_client.daemon.guard`: tasks of the federation, each in a process of its own.

It imports everything once and waits for the address and token of a task on its input, where no
other user of the machine can read them. Each task is done by a copy of this process that ends with
it: a second of imports is spared, nothing is carried over. The app that comes with the task must be
ours, which carries no code; any other is answered with an error.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import tomllib
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from flwr.app import Error
from flwr.cli.install import install_from_fab
from flwr.supercore.inflatable.inflatable_utils import pull_and_inflate_object_from_tree
from flwr.supernode.runtime import run_clientapp

import crisp_client.flower  # noqa: F401 - loaded before the task comes, not after
from crisp_client.daemon.replaced import quick, replace_names
from crisp_core.errors import PolicyError
from crisp_core.processes.leash import leave_with

MANIFEST = "pyproject.toml"
PARTS = [".info/CONTENT", MANIFEST]
PART_LIMIT_BYTES = 64_000
REFUSED = "this site runs installed code only"


def main() -> None:
    """Wait for tasks, one a line, until the input ends; its end ends the tasks at hand too."""
    replace_names(
        run_clientapp,
        install_from_fab=install_ours,
        Error=discreet_error,
        pull_and_inflate_object_from_tree=quick(pull_and_inflate_object_from_tree),
    )
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a copy has ended
    guard = os.getpid()
    for line in sys.stdin:
        if os.fork() == 0:
            _work(json.loads(line), guard)
            return


def _work(task: dict[str, str], guard: int) -> None:
    """Do one task, in a copy of the guard; if the guard ends, so does this."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())  # else a dead guard would still seem to read
    leave_with(guard)
    run_clientapp.run_clientapp(
        runtime_api_address=task["address"], token=task["token"], insecure=True
    )


def install_ours(fab: bytes, *, skip_prompt: bool) -> Path:
    """Install an app bundle as Flower does, if it is ours.

    Raises:
        PolicyError: If it is not.
    """
    check_fab(fab)
    return install_from_fab(fab, skip_prompt=skip_prompt)


def check_fab(fab: bytes) -> None:
    """Compare an app bundle with the manifest that is installed here.

    What it says is compared and not its hash: the same manifest is packed into other bytes by
    another version of zlib.

    Raises:
        PolicyError: If it carries anything but a manifest, or one that says anything else.
    """
    parts = _parts(fab)
    if sorted(name for name, _ in parts) != PARTS:
        extra = sorted({name for name, _ in parts} - set(PARTS))
        raise _refusal(got=f"files {extra[:5]}" if extra else "a damaged manifest")
    theirs, ours = _manifest(dict(parts)[MANIFEST]), _manifest(_installed())
    if theirs != ours:
        raise _refusal(got=f"another {_first_difference(ours, theirs)}")


def discreet_error(code: int, reason: str | None = None) -> Error:
    """Return an error reply without the text of any exception but our refusal."""
    told = reason if reason and REFUSED in reason else "the site could not do this task"
    return Error(code=code, reason=told)


def _parts(fab: bytes) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(fab)) as bundle:
            if any(part.file_size > PART_LIMIT_BYTES for part in bundle.infolist()):
                raise _refusal(got=f"a file over {PART_LIMIT_BYTES} bytes")
            return [(part.filename, bundle.read(part)) for part in bundle.infolist()]
    except (zipfile.BadZipFile, RuntimeError, EOFError):
        raise _refusal(got="no readable archive") from None


def _manifest(text: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(text.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
        raise _refusal(got="an unreadable manifest") from None


def _installed() -> bytes:
    """Return the manifest that came with this version of the package; both sides share it."""
    return (files("crisp_server") / "flower_app" / MANIFEST).read_bytes()


def _first_difference(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """Return the dotted name of the first entry that differs."""
    name = min(key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key))
    mine, other = ours.get(name), theirs.get(name)
    if isinstance(mine, dict) and isinstance(other, dict):
        return f"{name}.{_first_difference(mine, other)}"
    return name


def _refusal(*, got: str) -> PolicyError:
    return PolicyError(
        expected="the app that is installed here",
        got=got,
        where="the app of this run",
        fix=f"Install one version of crisp-fl on both sides: {REFUSED}",
    )


if __name__ == "__main__":
    main()
