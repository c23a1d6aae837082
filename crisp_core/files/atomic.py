"""Files that are either the old one or the new one, never half of one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from crisp_core.errors import RunStateError

TEMPORARY = ".crisp-tmp"
"""End of the name of a file that is being written; one that nobody writes can be removed."""


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Replace `path` by `data` in one move; its folder is made if absent.

    The bytes and the folder's entry are on the disk when this returns.

    Raises:
        RunStateError: If the disk is full or the folder cannot be written; an older file at
            `path` is then as it was, and nothing is left beside it.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_through(temporary, data)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _settle(path.parent)
    except OSError as error:
        raise RunStateError(
            expected="a folder that can be written",
            got=error.strerror or "an error of the disk",
            where=str(path),
            fix="Free space or mend the rights of the folder, then start again",
        ) from None


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` as UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode())


def _write_through(path: Path, data: bytes | memoryview) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _settle(folder: Path) -> None:
    """Make the rename outlive a power cut: on Linux that takes a sync of the folder itself."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
