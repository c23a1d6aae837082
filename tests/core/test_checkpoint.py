from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load, save_file

from crisp_core.errors import RunStateError
from crisp_core.files.checkpoint import (
    content_hash,
    packed,
    read_parameters,
    unpacked,
    write_parameters,
)

arrays = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
    hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
)
parameters = st.dictionaries(st.text(min_size=1, max_size=5), arrays, max_size=4)


@given(parameters)
@settings(deadline=None, max_examples=40)
def test_reading_returns_names_types_shapes_values_and_order(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("models") / "m.safetensors"

    write_parameters(path, written, {"study": "s"})

    read, metadata = read_parameters(path)
    assert list(read) == list(written)
    assert content_hash(read) == content_hash(written)
    assert metadata == {"study": "s"}


def test_a_transposed_array_is_written_as_it_reads(tmp_path):
    array = np.float32([[1, 2, 3], [4, 5, 6]]).T

    write_parameters(tmp_path / "m", {"w": array}, {})

    np.testing.assert_array_equal(read_parameters(tmp_path / "m")[0]["w"], array)


WRITE = """
import sys, numpy as np
from pathlib import Path
from crisp_core.files.checkpoint import write_parameters
arrays = {"b": np.arange(3.0), "a": np.float32([[1]])}
write_parameters(Path(sys.argv[1]), arrays, {"x": "1", "y": "2", "z": "3"})
"""


@pytest.mark.slow
def test_every_process_writes_the_same_bytes(tmp_path):
    for name in "12":
        subprocess.run([sys.executable, "-c", WRITE, tmp_path / name], check=True)

    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_any_safetensors_program_reads_it_and_its_files_are_read(tmp_path):
    write_parameters(tmp_path / "ours", {"w": np.ones(2)}, {})
    save_file({"b": np.ones(1), "a": np.zeros(2)}, tmp_path / "theirs", {"format": "np"})

    assert load((tmp_path / "ours").read_bytes())["w"].tolist() == [1, 1]
    read, metadata = read_parameters(tmp_path / "theirs")
    assert sorted(read) == ["a", "b"]
    assert metadata == {"format": "np"}


@pytest.mark.parametrize("data", [None, b"", b"\x80\x02}q\x00.", bytes(100)])
def test_what_cannot_be_read_is_told_in_a_sentence(tmp_path, data):
    path = tmp_path / "m.safetensors"
    if data is not None:
        path.write_bytes(data)

    with pytest.raises(RunStateError, match="a readable safetensors file"):
        read_parameters(path)


def test_a_truncated_file_is_told_in_a_sentence(tmp_path):
    write_parameters(tmp_path / "m", {"w": np.ones(100)}, {})
    (tmp_path / "m").write_bytes((tmp_path / "m").read_bytes()[:-1])

    with pytest.raises(RunStateError, match="a readable safetensors file"):
        read_parameters(tmp_path / "m")


@pytest.mark.parametrize(
    "other",
    [
        {"b": np.float32([1, 2])},
        {"a": np.float32([1, 3])},
        {"a": np.float32([[1], [2]])},
        {"a": np.float64([1, 2])},
        {"a": np.float32([1, 2]), "b": np.float32([])},
    ],
)
def test_the_hash_sees_names_values_shapes_and_types(other):
    assert content_hash(other) != content_hash({"a": np.float32([1, 2])})


def test_the_hash_sees_the_order_of_the_names():
    one, two = np.zeros(1), np.ones(1)

    assert content_hash({"a": one, "b": two}) != content_hash({"b": two, "a": one})


def test_packed_arrays_are_the_file_and_come_back_in_their_order(tmp_path):
    arrays = {"z": np.float32([[1, 2]]).T, "a": np.array(5), "none": np.zeros((0, 3))}
    write_parameters(tmp_path / "m", arrays, {"k": "v"})

    assert (tmp_path / "m").read_bytes() == packed(arrays, {"k": "v"})
    assert content_hash(unpacked(packed(arrays, {}))) == content_hash(arrays)


@pytest.mark.parametrize("data", [b"", b"\x02" + bytes(7) + b"{}", b"\xff" * 40])
def test_bytes_that_were_not_packed_are_refused(data):
    with pytest.raises(RunStateError, match="arrays as safetensors"):
        unpacked(data)


def test_arrays_cut_short_are_refused():
    whole = packed({"a": np.zeros(9)}, {})

    with pytest.raises(RunStateError, match="arrays as safetensors"):
        unpacked(whole[:-1])
