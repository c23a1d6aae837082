"""The decoder that can bring a process down works in one of its own.

GDCM is the one free decoder of lossless JPEG, and a damaged stream can make it abort the whole
process: no exception, no sentence, a listener gone. So its frames come through a pipe from a
child, whose end is an error like any other.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from crisp_core.arrays import IntArray
from crisp_core.errors import DataError
from crisp_core.files.dicom.refusal import refused

CHILD = "crisp_core.files.dicom.apart"
LARGEST_CHILD = 2 << 30
"""Bytes of address space that a decoder may take."""
START_S, FRAME_S = 60.0, 2.0
"""How long a child may take, before and for each frame: it is killed after that."""


def decoded_apart(files: Sequence[tuple[Path, Sequence[int]]], where: str) -> Iterator[IntArray]:
    """Yield the frames of several files, decoded in one child.

    Args:
        files: A path and the numbers of the frames that are wanted from it.
        where: For the sentence of an error.

    Raises:
        DataError: If a stream is damaged, or the decoder came down with it.
    """
    count = sum(len(numbers) for _, numbers in files)
    asked = json.dumps([[str(path), list(numbers)] for path, numbers in files]).encode()
    words = [sys.executable, "-P", "-m", CHILD]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=said) as child,  # noqa: S603 - ours
    ):
        watch = threading.Timer(START_S + FRAME_S * count, child.kill)
        watch.start()
        try:
            _ask(child, asked)
            for _ in range(count):
                yield _next(child, where, said)
        finally:
            watch.cancel()
            child.kill()


def _ask(child: subprocess.Popen[bytes], asked: bytes) -> None:
    """Write all that is wanted; what a child that ended already thinks of it is read later."""
    assert child.stdin is not None  # noqa: S101 - it was asked for; tells the type checker
    with suppress(BrokenPipeError), child.stdin as pipe:
        pipe.write(asked)


def _next(child: subprocess.Popen[bytes], where: str, said: IO[bytes]) -> IntArray:
    """Read one frame: a line that says kind, rows and columns, and the values."""
    assert child.stdout is not None  # noqa: S101 - as above
    try:
        kind, rows, columns = child.stdout.readline().decode().split()
        dtype = np.dtype(kind)
        data = child.stdout.read(int(rows) * int(columns) * dtype.itemsize)
        return np.frombuffer(data, dtype).reshape(int(rows), int(columns))
    except (ValueError, TypeError):  # nothing, too little, or a word that is not ours
        raise _came_down(child, where, said) from None


def _came_down(child: subprocess.Popen[bytes], where: str, said: IO[bytes]) -> DataError:
    child.kill()
    said.seek(0)
    words = " ".join(said.read().decode(errors="replace").split())[-160:]
    got = f"a decoder that ended with {child.wait()} ({words or 'no word'})"
    fix = "Have the PACS send it uncompressed (explicit little endian)"
    return refused(where, "pixels that can be decoded", got, fix)


def _work(asked: str) -> None:
    from crisp_core.files.dicom.pixels import stored_frames  # noqa: PLC0415 - it imports this module

    resource.setrlimit(resource.RLIMIT_AS, (LARGEST_CHILD, LARGEST_CHILD))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for path, numbers in json.loads(asked):
        for array in stored_frames(Path(path), numbers, plugin=""):
            rows, columns = array.shape
            sys.stdout.buffer.write(f"{array.dtype.str} {rows} {columns}\n".encode())
            sys.stdout.buffer.write(array.tobytes())
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        _work(sys.stdin.read())
    except DataError as error:
        sys.exit(str(error))
