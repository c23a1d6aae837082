"""Folders that are there whole or not at all: written beside their place and moved in one step."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crisp_core.errors import RunStateError
from crisp_core.files.atomic import TEMPORARY


@contextmanager
def staged_folder(place: Path) -> Iterator[Path]:
    """Give an empty folder to write into; at the end of the block it becomes `place`.

    If the block raises, or the process is killed, nothing appears at `place`. What a killed
    process left beside it is removed by whoever comes next.

    Raises:
        RunStateError: If `place` is there already, the disk is full or a folder cannot be written.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        staging, handle = _staging_beside(place)
        try:
            yield staging
            os.fsync(handle)
            _move(staging, place)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        finally:
            os.close(handle)
    except OSError as error:
        raise RunStateError(
            expected="a folder that can be written",
            got=error.strerror or "an error of the disk",
            where=str(place),
            fix="Free space, mend the rights, or name another folder",
        ) from None


def _staging_beside(place: Path) -> tuple[Path, int]:
    """Make the folder and lock it while it is written; two writers do this one after the other."""
    parent = os.open(place.parent, os.O_RDONLY)
    try:
        fcntl.flock(parent, fcntl.LOCK_EX)
        _remove_abandoned(place.parent)
        staging = place.with_name(f".{secrets.token_hex(8)}{TEMPORARY}")
        staging.mkdir()
        handle = os.open(staging, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        return staging, handle
    finally:
        os.close(parent)


def _move(staging: Path, place: Path) -> None:
    if place.exists():
        raise RunStateError(
            expected="a place where nothing is yet",
            got="something that is there already",
            where=str(place),
            fix="Nothing is overwritten: move it away, or name another folder",
        )
    staging.rename(place)
    parent = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _remove_abandoned(folder: Path) -> None:
    """Remove staging folders whose writer is gone: only then can they be locked."""
    for path in folder.glob(f".*{TEMPORARY}"):
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)
