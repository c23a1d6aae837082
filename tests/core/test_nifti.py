from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from crisp_core.files.nifti import UNREADABLE, opened

SHAPE = (7, 5, 4, 3)
HEADER_BYTES = 352


def values(dtype: str = "<i2") -> np.ndarray:
    return np.random.default_rng(0).integers(-90, 90, SHAPE).astype(dtype)


def content(array: np.ndarray, kind: type = nib.Nifti1Image) -> bytes:
    return kind(array, np.diag([1.0, 2, 3, 1])).to_bytes()


def written(folder: Path, data: bytes) -> Path:
    path = folder / "file.nii"
    path.write_bytes(data)
    return path


def read(path: Path, frame: int | None = None) -> np.ndarray:
    with opened(path) as file:
        return np.array(file.values(frame))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "u1", "<f4", "<f8"])
def test_all_and_one_frame_are_what_nibabel_reads(
    tmp_path: Path, packed: bool, kind: type, dtype: str
) -> None:
    array = np.abs(values()).astype(dtype)
    header = kind.header_class(endianness=">" if dtype[0] == ">" else "<")
    data = kind(array, np.diag([1.0, 2, 3, 1]), header).to_bytes()
    path = written(tmp_path, gzip.compress(data) if packed else data)

    assert np.array_equal(read(path), array)
    for frame in range(SHAPE[-1]):
        assert np.array_equal(read(path, frame), array[..., frame])


@pytest.mark.parametrize("packed", [False, True])
def test_extensions_and_scaling_are_respected(tmp_path: Path, packed: bool) -> None:
    image = nib.Nifti1Image(values(), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 9000))
    image.header.set_slope_inter(2.0, -3.0)
    data = image.to_bytes()
    path = written(tmp_path, gzip.compress(data) if packed else data)

    expected = kind_of(data).get_fdata()
    np.testing.assert_array_equal(read(path), expected)
    np.testing.assert_array_equal(read(path, 2), expected[..., 2])


def kind_of(data: bytes) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(data)


def test_members_of_gzip_are_joined_and_zeros_behind_them_are_nothing(tmp_path: Path) -> None:
    data = content(values())
    cuts = [data[:100], data[100:400], data[400:]]

    path = written(tmp_path, b"".join(map(gzip.compress, cuts)) + bytes(512))

    assert np.array_equal(read(path), values())
    assert np.array_equal(read(path, 1), values()[..., 1])


@pytest.mark.parametrize("end", [-1, -8, -200])
def test_a_truncated_packed_file_is_refused(tmp_path: Path, end: int) -> None:
    path = written(tmp_path, gzip.compress(content(values()))[:end])

    with pytest.raises(UNREADABLE):
        read(path)


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(content(values())))
    data[-6] ^= 1

    with pytest.raises(UNREADABLE, match="checksum"):
        read(written(tmp_path, bytes(data)))


@pytest.mark.parametrize("more", [b"", bytes(5_000_000)])
def test_the_checksum_is_verified_where_a_file_holds_more_than_its_header_says(
    tmp_path: Path, more: bytes
) -> None:
    data = bytearray(gzip.compress(content(values()) + more))
    assert np.array_equal(read(written(tmp_path, bytes(data))), values())
    data[-6] ^= 1

    with pytest.raises(UNREADABLE, match="checksum"):
        read(written(tmp_path, bytes(data)))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("missing", [1, 100])
def test_fewer_voxels_than_promised_are_refused(tmp_path: Path, packed: bool, missing: int) -> None:
    data = content(values())[:-missing]
    path = written(tmp_path, gzip.compress(data) if packed else data)

    with pytest.raises(EOFError, match="promises"):
        read(path)
    with pytest.raises(EOFError, match="promises"):
        read(path, SHAPE[-1] - 1)
    assert np.array_equal(read(path, 0), values()[..., 0])


@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_promises_more_than_can_be_there_is_refused_at_once(
    tmp_path: Path, packed: bool
) -> None:
    data = bytearray(content(values()))
    data[40:56] = np.array([7, *[32000] * 7], "<i2").tobytes()
    path = written(tmp_path, gzip.compress(bytes(data)) if packed else bytes(data))

    with pytest.raises(EOFError, match="promises"):
        read(path)


def test_a_packed_file_is_not_unpacked_beyond_what_its_header_says(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(content(values()) + bytes(50_000_000)))

    with opened(path) as file:
        assert np.array_equal(file.values(0), values()[..., 0])
        assert np.array_equal(file.affine, np.diag([1.0, 2, 3, 1]))
        assert file.shape == SHAPE
