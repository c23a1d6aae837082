"""Every way of storing pixels that is read gives the same values, and damage gives a sentence."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from dicom_samples import enhanced, phantom, save, series_of, set_pixels
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from crisp_core.errors import DataError
from crisp_core.files.dicom.series import read_series

APART = pytest.param("JPEG lossless", marks=pytest.mark.slow)
ABORTS = pytest.param("JPEG lossless", marks=pytest.mark.long)
SYNTAXES = ["implicit", "big endian", "RLE", "JPEG-LS", "JPEG 2000", APART]


def stored(folder: Path, array: np.ndarray, syntax: str) -> Path:
    """Write a series of uint16 in one of `SYNTAXES`."""
    if syntax == "JPEG lossless" and not shutil.which("dcmcjpeg"):
        pytest.skip("apt-get install dcmtk")
    save(folder, series_of(array))
    for path in sorted(folder.iterdir()):
        rewritten(path, syntax)
    return folder


def rewritten(path: Path, syntax: str) -> None:
    dataset = dcmread(path)
    if syntax == "implicit":
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        dataset.save_as(path)
    elif syntax == "big endian":
        dataset.PixelData = dataset.pixel_array.astype(">u2").tobytes()
        whole = Dataset({element.tag: element for element in dataset})
        whole.file_meta = dataset.file_meta
        whole.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        whole.save_as(path, enforce_file_format=True)
    elif syntax == "JPEG 2000":
        frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
        dataset.PixelData = encapsulate([jpeg_2000(frame) for frame in frames])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
        dataset.save_as(path)
    elif syntax == "JPEG lossless":
        subprocess.run(["dcmcjpeg", path, path], check=True)
    else:
        dataset.compress({"RLE": RLELossless, "JPEG-LS": JPEGLSLossless}[syntax])
        dataset.save_as(path)


def jpeg_2000(frame: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG2000", irreversible=False, no_jp2=True)
    return file.getvalue()


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_values_do_not_depend_on_how_they_are_stored(tmp_path, syntax):
    array = phantom(2, 32, 40).astype(np.uint16)

    series = read_series(stored(tmp_path, array, syntax))

    np.testing.assert_array_equal(series.volume.array[0], array)
    assert series.facts.syntax.startswith(syntax.split()[0] if syntax == "implicit" else "")


@pytest.mark.parametrize("syntax", ["RLE", "JPEG-LS", "JPEG 2000"])
def test_frames_of_a_compressed_enhanced_image_are_read(tmp_path, syntax):
    array = phantom(3, 32, 40).astype(np.uint16)
    save(tmp_path, [enhanced(array, order=[1, 2, 0])])
    rewritten(tmp_path / "000.dcm", syntax)

    np.testing.assert_array_equal(read_series(tmp_path).volume.array[0], array)


@pytest.mark.parametrize("syntax", ["RLE", "JPEG-LS"])
def test_a_damaged_stream_is_refused(tmp_path, syntax):
    stored(tmp_path, phantom(2, 32, 40).astype(np.uint16), syntax)
    data = bytearray((tmp_path / "000.dcm").read_bytes())
    middle = len(data) - 700
    data[middle : middle + 600] = bytes(600)
    (tmp_path / "000.dcm").write_bytes(data)

    with pytest.raises(DataError, match=r"000\.dcm"):
        read_series(tmp_path)


@pytest.mark.parametrize("syntax", ["RLE", "JPEG-LS", "JPEG 2000", ABORTS])
def test_a_stream_of_another_size_than_the_header_is_refused(tmp_path, syntax):
    stored(tmp_path, phantom(1, 32, 40).astype(np.uint16), syntax)
    dataset = dcmread(tmp_path / "000.dcm")
    dataset.Rows = 64
    dataset.save_as(tmp_path / "000.dcm")

    with pytest.raises(DataError, match=r"000\.dcm"):
        read_series(tmp_path)


@pytest.mark.parametrize(
    ("uid", "word"),
    [
        ("1.2.840.10008.1.2.1.99", "deflated: it could unpack to anything"),
        ("1.2.840.10008.1.2.4.100", "a video"),
        ("1.2.3", "nobody's"),
    ],
)
def test_a_transfer_syntax_that_is_not_read_is_named(tmp_path, uid, word):
    save(tmp_path, series_of(phantom(1)))
    dataset = dcmread(tmp_path / "000.dcm")
    data = (tmp_path / "000.dcm").read_bytes()
    old = dataset.file_meta.TransferSyntaxUID.encode()
    padded = uid.encode() + b"\0" * (len(uid) % 2)
    length = len(padded).to_bytes(2, "little")
    data = data.replace(b"UI\x14\x00" + old + b"\0", b"UI" + length + padded)
    (tmp_path / "000.dcm").write_bytes(data)

    with pytest.raises(DataError, match=f"a transfer syntax that is read here, got {uid}"):
        read_series(tmp_path)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
def test_every_kind_of_stored_number_keeps_its_sign(tmp_path, dtype):
    top = np.iinfo(dtype)
    array = np.array([[top.min, top.max], [0, 1]], dtype)[None].repeat(2, axis=0)
    save(tmp_path, series_of(array))

    np.testing.assert_array_equal(read_series(tmp_path).volume.array[0], array)


def test_a_frame_that_is_not_there_is_refused(tmp_path):
    made = enhanced(phantom(3))
    made.NumberOfFrames = 4
    save(tmp_path, [made])

    with pytest.raises(DataError, match="one item a frame"):
        read_series(tmp_path)


def test_pixels_are_counted_for_all_frames(tmp_path):
    made = enhanced(phantom(3))
    set_pixels(made, phantom(2))
    save(tmp_path, [made])

    with pytest.raises(DataError, match="720 bytes of pixel data"):
        read_series(tmp_path)
