"""The bytes of a NIfTI file: its header, and as much of its voxels as somebody asks for."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from isal import igzip_lib
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling
from nibabel.wrapstruct import WrapStructError

from crisp_core.arrays import AnyArray, FloatArray

GZIP_MAGIC = b"\x1f\x8b"
NIFTI1_HEADER_BYTES = 348
NIFTI2_HEADER_BYTES = 540
BYTE_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
PORTION_BYTES = 1 << 19
DEFLATE_MOST = 1032
"""A byte of a deflate stream unpacks to no more than this."""
UNREADABLE: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    MemoryError,
    OverflowError,
    zlib.error,
    igzip_lib.IsalError,  # type: ignore[assignment]  # isal's stub calls the class an instance
    ImageFileError,
    HeaderDataError,
    WrapStructError,
)
"""What a damaged file makes isal and nibabel raise."""


@contextmanager
def opened(path: Path) -> Iterator[NiftiFile]:
    """Open a file, packed or not, and read its header.

    Raises:
        Exception: One of `UNREADABLE`, if it cannot be read or is no NIfTI.
    """
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        magic = file.read(len(GZIP_MAGIC))
        file.seek(0)
        yield NiftiFile((_Packed if magic == GZIP_MAGIC else _Plain)(file, size_bytes))


class NiftiFile:
    """An open file whose header was read; its voxels are read once, all or one frame.

    Attributes:
        shape: As in the file.
        dtype: As in the file, byte order included.
        affine: float64 (4, 4), millimetres.
    """

    def __init__(self, source: _Plain | _Packed) -> None:
        self._source = source
        start = _next(source, NIFTI1_HEADER_BYTES)
        sizes = [int.from_bytes(start[:4], order) for order in BYTE_ORDERS]
        second = NIFTI2_HEADER_BYTES in sizes
        kind: Any = nib.Nifti2Header if second else nib.Nifti1Header
        size = NIFTI2_HEADER_BYTES if second else NIFTI1_HEADER_BYTES
        self._start = start + _next(source, size - len(start))
        header = kind(self._start)
        self.shape = tuple(int(length) for length in header.get_data_shape())
        self.dtype: np.dtype[np.generic] = header.get_data_dtype()
        self.affine: FloatArray = np.asarray(header.get_best_affine())
        self._offset_bytes = int(header.get_data_offset())
        self._slope, self._intercept = header.get_slope_inter()

    def values(self, frame: int | None = None) -> AnyArray:
        """Return the voxels with slope and intercept applied, along the file's axes.

        Args:
            frame: Which of the last axis to take alone, from 0. A packed file is then unpacked no
                further than to its end, and the checksum behind it is not verified.

        Raises:
            Exception: One of `UNREADABLE`, if the file is damaged or ends early.
        """
        shape = self.shape if frame is None else self.shape[:-1]
        if min(self.shape, default=0) < 0:
            message = f"an axis has a length below 0: {self.shape}"
            raise ValueError(message)
        count = math.prod(shape) * self.dtype.itemsize
        first = self._offset_bytes + (frame or 0) * count
        if first + count > self._source.limit_bytes:
            raise EOFError(_too_few(count))
        raw = np.empty(count, np.uint8)
        self._fill(raw.data, first)
        if frame is None:
            self._source.finish()
        values: AnyArray = np.ndarray(shape, self.dtype, raw.data, order="F")
        scaled: AnyArray = apply_read_scaling(values, self._slope, self._intercept)
        return scaled

    def _fill(self, target: memoryview, first: int) -> None:
        """Fill `target` from place `first` of the unpacked file."""
        own = self._start[first : first + len(target)]
        target[: len(own)] = own
        self._source.skip(max(0, first - len(self._start)))
        if self._source.fill(target[len(own) :]) < len(target) - len(own):
            raise EOFError(_too_few(len(target)))


def _next(source: _Plain | _Packed, count: int) -> bytes:
    """Return the next `count` bytes, fewer where they end."""
    held = bytearray(count)
    return bytes(held[: source.fill(memoryview(held))])


def _too_few(count: int) -> str:
    return f"the header promises {count} bytes of voxels, there are fewer"


class _Plain:
    """A file as it is.

    Attributes:
        limit_bytes: More than this cannot be in it.
    """

    def __init__(self, file: BufferedReader, size_bytes: int) -> None:
        self._file, self.limit_bytes = file, size_bytes

    def fill(self, target: memoryview) -> int:
        """Write the next bytes into `target`; return how many there were."""
        return self._file.readinto(target)

    def skip(self, count: int) -> None:
        """Leave out `count` bytes."""
        self._file.seek(count, os.SEEK_CUR)

    def finish(self) -> None:
        """Verify nothing: there is no checksum."""


class _Packed:
    """What a gzip file unpacks to, member after member, never more than is asked for.

    Attributes:
        limit_bytes: More than this cannot be in it.
    """

    def __init__(self, file: BufferedReader, size_bytes: int) -> None:
        self._file, self.limit_bytes = file, size_bytes * DEFLATE_MOST
        self._stream = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        self._ahead = b""

    def fill(self, target: memoryview) -> int:
        """Write the next bytes into `target`; return how many there were.

        Portion by portion, which stay in a processor's cache: a large buffer's pages would come
        from the system anew.

        Raises:
            Exception: One of `UNREADABLE`, if the file is damaged or truncated.
        """
        filled = 0
        while filled < len(target) and self._goes_on():
            most = min(PORTION_BYTES, len(target) - filled)
            part = self._stream.decompress(self._ahead, most)
            self._ahead = b""
            target[filled : filled + len(part)] = part
            filled += len(part)
        return filled

    def skip(self, count: int) -> None:
        """Leave out `count` bytes, or what is left of them."""
        scratch = memoryview(bytearray(min(count, PORTION_BYTES)))
        while count > 0 and (passed := self.fill(scratch[:count])):
            count -= passed

    def finish(self) -> None:
        """Go on to the end, so that the checksum is verified."""
        scratch = memoryview(bytearray(PORTION_BYTES))
        while self.fill(scratch):
            pass

    def _goes_on(self) -> bool:
        """Fetch what the stream needs; tell whether there is more, in another member perhaps."""
        if self._stream.eof:
            rest = self._stream.unused_data.lstrip(b"\0")
            while not rest and (portion := self._file.read(PORTION_BYTES)):
                rest = portion.lstrip(b"\0")
            if not rest:
                return False
            self._ahead = rest
            self._stream = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        elif self._stream.needs_input:
            self._ahead = self._file.read(PORTION_BYTES)
            if not self._ahead:
                message = "the packed file ended before its end-of-stream marker"
                raise EOFError(message)
        return True
