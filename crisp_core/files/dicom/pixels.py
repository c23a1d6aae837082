"""Stored pixels to values: decoded one frame at a time, and checked before they count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from pydicom.pixels.utils import iter_pixels

from crisp_core.arrays import FloatArray, IntArray
from crisp_core.errors import DataError
from crisp_core.files.dicom.apart import decoded_apart
from crisp_core.files.dicom.frames import Frame
from crisp_core.files.dicom.opening import COMPRESSED, NATIVE, read_header, read_whole, syntax_of
from crisp_core.files.dicom.refusal import refused, unreadable
from crisp_core.files.dicom.values import Attributes, quiet

MOST_VOXELS = 1 << 29
"""Of one volume: 2 GiB as float32, a CT of two thousand slices."""
ALLOCATED = (8, 16, 32)
PLUGINS = {
    **dict.fromkeys(NATIVE, ""),
    "1.2.840.10008.1.2.5": "pydicom",
    "1.2.840.10008.1.2.4.50": "pillow",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pillow",
    "1.2.840.10008.1.2.4.91": "pillow",
}
"""Who decodes what in this process; the rest of the syntaxes are decoded apart."""
LITTLE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")


def read_values(frames: Sequence[Frame], where: str) -> FloatArray:
    """Read the values of frames of one shape.

    Args:
        frames: In the order of the result.
        where: For the sentence of an error about all of them.

    Returns:
        float32 (frames, rows, columns), slope and intercept applied.

    Raises:
        DataError: If pixels are missing, cut off, cannot be decoded or are not what the header
            says.
    """
    shape = (len(frames), *frames[0].plane.shape)
    if np.prod(shape, dtype=np.int64) > MOST_VOXELS:
        raise refused(where, f"at most {MOST_VOXELS} voxels", " x ".join(map(str, shape)))
    places = defaultdict[Path, list[int]](list)
    for index, frame in enumerate(frames):
        places[frame.path].append(index)
    asked = [
        (path, [frames[index].number for index in indices], frames[indices[0]].syntax)
        for path, indices in places.items()
    ]
    values = np.empty(shape, np.float32)
    indices = [index for group in places.values() for index in group]
    for index, array in zip(indices, _frames(asked, where), strict=True):
        values[index] = array * frames[index].slope + frames[index].intercept
    return values


def _frames(asked: Sequence[tuple[Path, Sequence[int], str]], where: str) -> Iterator[IntArray]:
    """Decode file by file; neighbours that need the decoder that works apart share one."""
    for apart, group in groupby(asked, key=lambda entry: entry[2] not in PLUGINS):
        if apart:
            yield from decoded_apart([(path, numbers) for path, numbers, _ in group], where)
            continue
        for path, numbers, syntax in group:
            yield from stored_frames(path, numbers, plugin=PLUGINS[syntax])


def frames_here(path: Path, numbers: Sequence[int]) -> Iterator[IntArray]:
    """Decode frames of one file, in this process or apart as its syntax needs; as `read_values`."""
    header = read_header(path)
    return _frames([(path, numbers, syntax_of(header))], header.where)


def stored_frames(path: Path, numbers: Sequence[int], plugin: str) -> Iterator[IntArray]:
    """Decode frames of one file in this process.

    Args:
        path: The file.
        numbers: Which frames, from 0.
        plugin: The decoder to use; "" for any that is installed.

    Yields:
        Stored values (rows, columns), within what the header says.

    Raises:
        DataError: As `read_values`.
    """
    attributes = read_whole(path)
    low, high = _range(attributes)
    _check_length(attributes)
    shape = (attributes.whole("Rows"), attributes.whole("Columns"))
    little = syntax_of(attributes) in LITTLE
    decoded = _plain(attributes, numbers) if little else _decoded(attributes, numbers, plugin)
    for array in decoded:
        if array.shape != shape:
            got = " x ".join(map(str, array.shape))
            raise refused(attributes.where, f"frames of {shape[0]} x {shape[1]}", got)
        if array.min() < low or array.max() > high:
            got = f"{array.min()} to {array.max()}"
            fix = "Export the series without overlays in its pixels"
            raise refused(attributes.where, f"stored values {low} to {high}", got, fix)
        yield array


def _plain(attributes: Attributes, numbers: Sequence[int]) -> Iterator[IntArray]:
    """Cut frames out of uncompressed pixels as they are: unused bits are not cut off in silence."""
    rows, columns = attributes.whole("Rows"), attributes.whole("Columns")
    kind = "i" if attributes.whole("PixelRepresentation") else "u"
    dtype = np.dtype(f"<{kind}{attributes.whole('BitsAllocated') // 8}")
    data = attributes.raw("PixelData")
    for number in numbers:
        first = number * rows * columns * dtype.itemsize
        yield np.frombuffer(data, dtype, rows * columns, first).reshape(rows, columns)


def _decoded(attributes: Attributes, numbers: Sequence[int], plugin: str) -> Iterator[IntArray]:
    try:
        with quiet():
            yield from iter_pixels(
                attributes.dataset, indices=list(numbers), raw=True, decoding_plugin=plugin
            )
    except DataError:
        raise
    except Exception as error:  # a damaged stream makes a decoder raise anything
        where = f"pixel data, {attributes.where}"
        raise unreadable(where, error) from None


def _range(attributes: Attributes) -> tuple[int, int]:
    """Return the smallest and the largest value that the stored bits can hold."""
    allocated, stored = attributes.whole("BitsAllocated"), attributes.whole("BitsStored")
    high, signed = attributes.whole("HighBit"), attributes.whole("PixelRepresentation")
    if allocated not in ALLOCATED or not 1 <= stored <= allocated or high != stored - 1:
        wanted = "8, 16 or 32 bits, of which the lowest are stored"
        got = f"{stored} of {allocated}, the highest {high}"
        raise refused(attributes.where, wanted, got)
    if signed not in {0, 1}:
        raise refused(attributes.where, "PixelRepresentation 0 or 1", str(signed))
    return (-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1)


def _check_length(attributes: Attributes) -> None:
    data = attributes.raw("PixelData")
    syntax = syntax_of(attributes)
    if syntax in COMPRESSED:
        return
    count = attributes.whole("NumberOfFrames") if attributes.has("NumberOfFrames") else 1
    pixels = count * attributes.whole("Rows") * attributes.whole("Columns")
    expected = pixels * attributes.whole("BitsAllocated") // 8
    if len(data) not in {expected, expected + expected % 2}:
        wanted = f"{expected} bytes of pixel data ({NATIVE[syntax]})"
        raise refused(attributes.where, wanted, str(len(data)))
