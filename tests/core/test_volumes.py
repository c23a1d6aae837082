from __future__ import annotations

import gzip
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import AFFINE, write_volume

from crisp_core.errors import DataError, RunStateError
from crisp_core.files.atomic import write_bytes
from crisp_core.files.volumes import read_image, read_labels, write_labels

SHARED = Path(os.environ.get("CRISP_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def test_an_image_is_float_channels_of_slices(tmp_path):
    stored = np.arange(24, dtype=np.int16).reshape(4, 3, 2)  # x, y, z

    volume = read_image(write_volume(tmp_path / "c.nii.gz", stored))

    assert volume.array.shape == (1, 2, 3, 4)
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array[0], stored.transpose(2, 1, 0))


def test_slope_and_intercept_are_applied(tmp_path):
    image = nib.Nifti1Image(np.full((2, 2, 2), 7, np.int16), AFFINE)
    data = bytearray(image.to_bytes())
    data[112:120] = np.float32([0.5, 10]).tobytes()  # scl_slope, scl_inter of the NIfTI-1 header
    (tmp_path / "c.nii").write_bytes(data)

    assert (read_image(tmp_path / "c.nii").array == 13.5).all()  # 7 * 0.5 + 10


def test_a_flat_image_is_one_slice(tmp_path):
    volume = read_image(write_volume(tmp_path / "c.nii", np.eye(3, 5, dtype=np.int16)))

    assert volume.array.shape == (1, 1, 5, 3)


def test_channels_come_from_the_last_axis_or_from_several_files(tmp_path):
    stored = np.arange(48, dtype=np.int16).reshape(4, 3, 2, 2)
    together = write_volume(tmp_path / "c.nii.gz", stored)
    apart = [write_volume(tmp_path / f"c_{i}.nii.gz", stored[..., i]) for i in range(2)]

    np.testing.assert_array_equal(read_image(together).array, read_image(*apart).array)


def test_channels_in_different_places_are_refused(tmp_path):
    one = write_volume(tmp_path / "c_0000.nii.gz", np.zeros((4, 3, 2), np.int16))
    other = write_volume(tmp_path / "c_0001.nii.gz", np.zeros((4, 3, 3), np.int16))

    with pytest.raises(DataError, match="all channels on one grid"):
        read_image(one, other)


def test_nifti_2_and_nifti_1_are_both_read(tmp_path):
    stored = np.arange(8, dtype=np.int16).reshape(2, 2, 2)
    (tmp_path / "c.nii").write_bytes(nib.Nifti2Image(stored, AFFINE).to_bytes())

    assert read_image(tmp_path / "c.nii").array.max() == 7


def test_whole_numbers_stored_as_floats_are_labels(tmp_path):
    path = write_volume(tmp_path / "c.nii.gz", np.float32([[[0, 1], [2, 3]]]))

    assert read_labels(path).array.dtype == np.uint8


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.float32([[[0, 0.5]]]), "Expected integer labels, got 0.5"),
        (np.float32([[[0, np.nan]]]), "label values that fit 16 bits"),
        (np.int32([[[0, 70_000]]]), "0 to 70000"),
        (np.zeros((2, 2, 2, 2), np.uint8), "a mask of 2 or 3 axes"),
        (np.zeros((2, 2, 2), np.complex64), "real numbers, got data type complex64"),
    ],
)
def test_what_is_no_mask_is_refused_in_a_sentence(tmp_path, values, sentence):
    path = write_volume(tmp_path / "c.nii.gz", values)

    with pytest.raises(DataError, match=sentence):
        read_labels(path)


def damaged(data: bytes) -> dict[str, bytes]:
    flipped = bytearray(data)
    flipped[-6] ^= 1  # in the checksum
    middle = bytearray(data)
    middle[len(data) // 2] ^= 255
    return {
        "truncated gzip": data[: len(data) // 2],
        "flipped byte in the checksum": bytes(flipped),
        "flipped byte in the middle": bytes(middle),
        "truncated volume": gzip.compress(gzip.decompress(data)[:-100]),
        "truncated header": gzip.compress(gzip.decompress(data)[:100]),
        "no NIfTI": gzip.compress(b"PK\x03\x04" * 200),
        "nothing": b"",
    }


@pytest.mark.parametrize("kind", damaged(gzip.compress(bytes(400))))
def test_a_damaged_file_is_a_data_error_with_its_name(tmp_path, kind):
    array = np.random.default_rng(0).integers(0, 99, (9, 8, 7)).astype(np.int16)
    path = write_volume(tmp_path / "c017.nii.gz", array)
    path.write_bytes(damaged(path.read_bytes())[kind])

    with pytest.raises(DataError, match=r"readable NIfTI.*c017"):
        read_image(path)


def test_an_absent_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="FileNotFoundError"):
        read_labels(tmp_path / "c.nii.gz")


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_what_is_written_as_it_was_read_is_the_same_volume(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("volumes")
    affine = np.eye(4)
    affine[:3] = np.float32(rng.normal(size=(3, 4)) @ np.diag([1, 2, 4, 30]))
    stored = rng.integers(0, 4, rng.integers(1, 6, rng.integers(2, 4))).astype(np.uint8)
    labels = read_labels(write_volume(folder / "in.nii.gz", stored, affine))

    write_labels(folder / "out.nii.gz", labels.array, labels.grid)

    again = nib.load(folder / "out.nii.gz")
    np.testing.assert_array_equal(np.asarray(again.dataobj), stored)
    np.testing.assert_array_equal(again.affine, affine)
    assert read_labels(folder / "out.nii.gz").grid == labels.grid


def test_labels_of_another_shape_are_not_written(tmp_path):
    labels = read_labels(write_volume(tmp_path / "c.nii.gz", np.zeros((4, 3, 2), np.uint8)))

    with pytest.raises(ValueError, match=r"labels are \(3, 4, 2\) but the grid is \(2, 3, 4\)"):
        write_labels(tmp_path / "out.nii.gz", labels.array.T.swapaxes(0, 1), labels.grid)


def test_a_write_leaves_one_file_and_makes_its_folder(tmp_path):
    write_bytes(tmp_path / "new" / "a", b"old")
    write_bytes(tmp_path / "new" / "a", b"new")

    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"]
    assert (tmp_path / "new" / "a").read_bytes() == b"new"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    write_bytes(tmp_path / "a", b"old")

    with files_of_at_most(1024), pytest.raises(RunStateError, match="File too large"):
        write_bytes(tmp_path / "a", bytes(4096))

    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


@contextmanager
def files_of_at_most(byte_count: int) -> Iterator[None]:
    """Let the kernel refuse longer files, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (byte_count, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(RunStateError, match="a folder that can be written"):
        write_bytes(tmp_path / "file" / "a", b"new")


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no shared data sets in {SHARED}")
def test_real_masks_survive_a_round_trip(tmp_path):
    for path in sorted(SHARED.glob("spinalcord/*/labels/*.nii.gz")):
        labels = read_labels(path)
        write_labels(tmp_path / path.name, labels.array, labels.grid)

        one, other = nib.load(path), nib.load(tmp_path / path.name)
        np.testing.assert_array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))
        np.testing.assert_allclose(one.affine, other.affine, atol=1e-5)
