from __future__ import annotations

import io
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from crisp_client.requests import Question, arrays_of
from crisp_core.errors import UntrustedError

ARRAYS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "by columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "count": np.array(7),
    "none": np.zeros((0, 4), np.float32),
}


def npy(array: np.ndarray, *, pickled: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=pickled)
    return file.getvalue()


def header(claim: str) -> bytes:
    """An array file whose header says `claim`, and nothing behind it but four bytes."""
    text = claim.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(4)


def test_arrays_arrive_as_they_were_sent() -> None:
    question = Question("train", "", arrays={name: npy(a) for name, a in ARRAYS.items()})

    arrived = arrays_of(question)

    assert list(arrived) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrived[name], array)
        assert arrived[name].dtype == array.dtype


@pytest.mark.parametrize(
    "data",
    [
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (12500000000,), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (), }"),
        header("{'descr': '|S4', 'fortran_order': False, 'shape': (), }"),
        header("__import__('os').abort()"),
        npy(np.array([{"a": 1}], dtype=object), pickled=True),
        b"",
        b"PK\x03\x04",
    ],
    ids=["50 GB", "spare", "negative", "object", "text", "code", "pickle", "nothing", "zip"],
)
def test_bytes_that_are_no_array_of_their_length_are_refused_unread(data: bytes) -> None:
    tracemalloc.start()

    with pytest.raises(UntrustedError):
        arrays_of(Question("train", "", arrays={"w": data}))

    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_a_message_of_unusual_length_is_refused() -> None:
    with pytest.raises(UntrustedError, match="characters"):
        Question("train", "x" * 5_000_000)
    with pytest.raises(UntrustedError, match="characters"):
        Question("train", "", ask="a" * 33)
    with pytest.raises(UntrustedError, match="10,000 arrays"):
        Question("train", "", arrays=dict.fromkeys(map(str, range(10_001)), b""))


def test_the_apps_process_starts_without_torch() -> None:
    code = "import sys, crisp_client.flower; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
