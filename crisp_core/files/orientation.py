"""One orientation for every volume: slices first, shown as a radiologist expects them.

A file may store its axes in any order and direction. In the house's arrays (D, H, W)

    D  is the through-plane axis and runs towards right, anterior or superior,
    H  are the rows and W the columns of a slice; they run towards left, posterior and inferior.

So an axial slice printed row by row has the front of the body at the top and the patient's left
on the right, and a coronal or sagittal one has the head at the top. An oblique axis counts as
the body axis it is closest to. Axes are permuted and reversed, never interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np

from crisp_core.arrays import AnyArray, FloatArray

CLEARLY_LARGER = 1.5
SPACING_TOLERANCE = 0.01
SPACE = 3


@dataclass(frozen=True)
class Grid:
    """Where a volume's voxels lie, in the house's axes, and how its file stores them.

    Attributes:
        shape: (D, H, W) in voxels.
        spacing_mm: Between voxel centres along D, H, W.
        affine: 4 x 4, voxel index of the *file* to millimetres (right, anterior, superior).
        order: The file's axis that became D, H and W.
        reversed_axes: Whether D, H and W run against the file's axis.
        flat: The file has two axes only.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    affine: tuple[tuple[float, ...], ...]
    order: tuple[int, int, int]
    reversed_axes: tuple[bool, bool, bool]
    flat: bool = False


def grid_of(file_shape: Sequence[int], affine: FloatArray) -> Grid:
    """Find the house's axes of a file.

    The through-plane axis is the one of length 1 if there is just one; else the one whose
    spacing is at least 1.5 times the others'; else the one closest to superior-inferior.

    Args:
        file_shape: Two or three lengths in voxels.
        affine: 4 x 4, of three independent axes.

    Raises:
        ValueError: If the affine has no three finite, independent axes.
    """
    shape = tuple(file_shape) + (1,) * (SPACE - len(file_shape))
    spacing = _spacing(affine)
    worlds, signs = nib.io_orientation(affine).T
    through = _through_plane(shape, spacing, worlds)
    inside = sorted(set(range(SPACE)) - {through}, key=lambda axis: -worlds[axis])
    order = (through, inside[0], inside[1])
    along = [bool(signs[axis] > 0) for axis in order]
    return Grid(
        shape=(shape[order[0]], shape[order[1]], shape[order[2]]),
        spacing_mm=(spacing[order[0]], spacing[order[1]], spacing[order[2]]),
        affine=tuple(tuple(float(x) for x in row) for row in affine),
        order=order,
        reversed_axes=(not along[0], along[1], along[2]),
        flat=len(file_shape) < SPACE,
    )


def to_house(array: AnyArray, grid: Grid) -> AnyArray:
    """Turn a file's array (x, y[, z]) into (D, H, W); a view.

    Examples:
        >>> grid = grid_of((2, 3, 1), np.eye(4))
        >>> to_house(np.arange(6).reshape(2, 3, 1), grid)[0].tolist()
        [[5, 2], [4, 1], [3, 0]]
    """
    solid = array[..., None] if grid.flat else array
    return solid.transpose(grid.order)[_steps(grid)]


def to_file(array: AnyArray, grid: Grid) -> AnyArray:
    """Turn (D, H, W) back into the file's axes: the inverse of `to_house`; a view."""
    solid = array[_steps(grid)].transpose(np.argsort(grid.order))
    return solid[..., 0] if grid.flat else solid


def house_affine(grid: Grid) -> FloatArray:
    """Return the 4 x 4 affine from (D, H, W) indices to millimetres."""
    native = np.array(grid.affine)
    columns = native[:, list(grid.order)]
    signs = np.where(grid.reversed_axes, -1.0, 1.0)
    last = np.where(grid.reversed_axes, np.array(grid.shape) - 1.0, 0.0)
    origin = native[:, SPACE] + columns @ last
    return np.column_stack([columns * signs, origin])


def orientation_code(grid: Grid) -> str:
    """Return where the file's axes point, such as "LPS"; an oblique one counts as the closest."""
    return "".join(nib.aff2axcodes(np.array(grid.affine)))


def same_place(one: Grid, other: Grid) -> bool:
    """Tell whether two grids have equal shapes and voxels in the same places.

    Axes may differ by 1 % of the spacing, the origin by half the smallest spacing.
    """
    if one.shape != other.shape:
        return False
    first, second = house_affine(one), house_affine(other)
    apart = np.linalg.norm((first - second)[:SPACE], axis=0)
    allowed = [SPACING_TOLERANCE * mm for mm in one.spacing_mm] + [min(one.spacing_mm) / 2]
    return bool((apart <= allowed).all())


def _spacing(affine: FloatArray) -> tuple[float, ...]:
    axes = affine[:SPACE, :SPACE]
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(axes) < SPACE:
        message = "The affine has no three finite, independent axes"
        raise ValueError(message)
    return tuple(float(mm) for mm in np.linalg.norm(axes, axis=0))


def _through_plane(shape: Sequence[int], spacing: Sequence[float], worlds: FloatArray) -> int:
    single = [axis for axis in range(SPACE) if shape[axis] == 1]
    if len(single) == 1:
        return single[0]
    smaller, larger = sorted(spacing)[1:]
    if larger >= CLEARLY_LARGER * smaller:
        return int(np.argmax(spacing))
    return int(np.argmax(worlds))


def _steps(grid: Grid) -> tuple[slice, slice, slice]:
    d, h, w = (slice(None, None, -1 if backwards else 1) for backwards in grid.reversed_axes)
    return d, h, w
