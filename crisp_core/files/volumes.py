"""NIfTI in and out: float32 images (C, D, H, W) and integer labels (D, H, W) in house axes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip

from crisp_core.arrays import AnyArray, FloatArray, IntArray
from crisp_core.errors import DataError
from crisp_core.files.atomic import write_bytes
from crisp_core.files.nifti import UNREADABLE, NiftiFile, opened
from crisp_core.files.orientation import SPACE, Grid, grid_of, same_place, to_file, to_house

COMPRESSION_LEVEL = 2


@dataclass(frozen=True)
class Volume:
    """An image, float32 (C, D, H, W) in the file's own units, and where it lies."""

    array: FloatArray
    grid: Grid


@dataclass(frozen=True)
class LabelVolume:
    """A mask, uint8 (int16 where a label needs it) (D, H, W), and where it lies."""

    array: IntArray
    grid: Grid


def read_image(*paths: Path, frame: int | None = None) -> Volume:
    """Read one image: a file of 2, 3 or 4 axes (channels last), or one file a channel.

    Args:
        paths: The files.
        frame: Which of a fourth axis that is time to take, from 0; None takes it for channels.

    Raises:
        DataError: If a file is unreadable or no NIfTI, has no such frame, or if the channels lie
            in different places.
    """
    parts = [_read_channels(path, frame) for path in paths]
    grid = parts[0].grid
    for path, part in zip(paths[1:], parts[1:], strict=True):
        if not same_place(grid, part.grid):
            raise DataError(
                expected=f"all channels on one grid of {grid.shape}",
                got=f"another place or shape, {part.grid.shape}",
                where=f"file {path.name!r}",
                fix="Resample the channels of a case onto one grid",
            )
    return parts[0] if len(parts) == 1 else Volume(np.concatenate([p.array for p in parts]), grid)


def read_labels(path: Path, frame: int | None = None) -> LabelVolume:
    """Read one mask of 2 or 3 axes, or one frame of a mask of 4.

    Args:
        path: The file.
        frame: Which of a fourth axis to take, from 0; a mask without that axis is taken whole.

    Raises:
        DataError: If the file is unreadable, no NIfTI, has channels, or holds other numbers than
            integers.
    """
    values, affine = _read(path, frame, may_lack_frames=True)
    if values.ndim > SPACE:
        raise _unexpected(path, "a mask of 2 or 3 axes", f"shape {values.shape}")
    grid = _grid(affine, values.shape, path)
    return LabelVolume(np.array(to_house(_integers(values, path), grid), order="C"), grid)


def write_labels(path: Path, labels: IntArray, grid: Grid) -> None:
    """Write labels (D, H, W) as `.nii.gz` in the axes and at the place that `grid` was read from.

    Equal arguments give equal bytes.

    Raises:
        ValueError: If the shape is not the grid's.
        RunStateError: If the folder cannot be written.
    """
    write_map(path, labels, grid)


def write_map(path: Path, array: AnyArray, grid: Grid) -> None:
    """Write an array (D, H, W) of any type that NIfTI knows, as `write_labels` does."""
    if array.shape != grid.shape:
        message = f"labels are {array.shape} but the grid is {grid.shape}"
        raise ValueError(message)
    affine = np.array(grid.affine)
    image = nib.Nifti1Image(to_file(array, grid), affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    write_bytes(path, igzip.compress(image.to_bytes(), COMPRESSION_LEVEL, mtime=0))


def _read_channels(path: Path, frame: int | None) -> Volume:
    values, affine = _read(path, frame)
    if values.ndim > SPACE + 1:
        raise _unexpected(path, "an image of 2, 3 or 4 axes", f"shape {values.shape}")
    grid = _grid(affine, values.shape[:SPACE], path)
    channels = np.moveaxis(values, -1, 0) if values.ndim > SPACE else values[None]
    array = np.empty((len(channels), *grid.shape), np.float32)
    for target, channel in zip(array, channels, strict=True):
        target[...] = to_house(channel, grid)
    return Volume(array, grid)


def _read(
    path: Path, frame: int | None, *, may_lack_frames: bool = False
) -> tuple[AnyArray, FloatArray]:
    """Return the array, without trailing axes of length 1, and the affine."""
    try:
        with opened(path) as file:
            if may_lack_frames and len(file.shape) <= SPACE:
                frame = None
            _check(file, path, frame)
            values, affine = file.values(frame), file.affine
    except UNREADABLE as error:
        raise _unreadable(error, path) from None
    if values.size == 0:
        raise _unexpected(path, "at least one voxel", f"shape {values.shape}")
    while values.ndim > SPACE and values.shape[-1] == 1:
        values = values[..., 0]
    return values, affine


def _check(file: NiftiFile, path: Path, frame: int | None) -> None:
    if file.dtype.kind not in "iuf":
        raise _unexpected(path, "real numbers", f"data type {file.dtype}")
    if frame is not None and not (len(file.shape) == SPACE + 1 and 0 <= frame < file.shape[-1]):
        raise _unexpected(path, f"a fourth axis with a frame {frame}", f"shape {file.shape}")


def _grid(affine: FloatArray, shape: tuple[int, ...], path: Path) -> Grid:
    try:
        return grid_of(shape, affine)
    except ValueError as error:
        raise _unexpected(path, "an affine that places the voxels", str(error)) from None


def _integers(values: AnyArray, path: Path) -> IntArray:
    low, high = values.min(), values.max()
    small = np.iinfo(np.int16)
    if not (low >= small.min and high <= small.max):  # also false where one is NaN
        raise _unexpected(path, "label values that fit 16 bits", f"{low} to {high}")
    kind = np.uint8 if low >= 0 and high <= np.iinfo(np.uint8).max else np.int16
    whole: IntArray = values.astype(kind, copy=False)
    if values.dtype.kind == "f" and (whole != values).any():
        raise _unexpected(path, "integer labels", f"{values[whole != values][0]:g}")
    return whole


def _unreadable(error: Exception, path: Path) -> DataError:
    reason = str(error).strip().splitlines()[:1]
    return DataError(
        expected="a readable NIfTI file",
        got=f"{type(error).__name__} ({reason[0] if reason else 'no detail'})",
        where=f"file {path.name!r}",
        fix="Copy or export the file again; it may be truncated, damaged or of another format",
    )


def _unexpected(path: Path, expected: str, got: str) -> DataError:
    return DataError(
        expected=expected,
        got=got,
        where=f"file {path.name!r}",
        fix="Export the file again as it should be",
    )
