"""Slices to one regular grid, by where they lie and nothing else.

Instance numbers count what a scanner did, not where: the order comes from each slice's position
projected on the slices' normal. Nothing is resampled and nothing filled in: what is no regular
upright stack is refused with what is wrong about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import FloatArray
from crisp_core.files.dicom.refusal import refused

SAME_DIRECTION = 2e-3
"""Largest difference between direction cosines that count as equal: a tenth of a degree."""
UNIT_LENGTH = 1e-2
"""Largest departure of a direction's length from 1, and of two directions from a right angle."""
LARGEST_TILT_DEGREES = 0.5
UNEVEN = 0.05
"""Largest departure of a slice from its regular place, as a share of the spacing."""
ASIDE = 0.25
"""Largest departure of a slice within its plane, as a share of a pixel."""
GAP = 1.5
"""A distance this many times the usual one is a gap."""
SAME_PLACE_MM = 1e-3
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Plane:
    """Where one slice lies, in DICOM's axes: left, posterior and superior are positive.

    Attributes:
        position_mm: Centre of its first pixel.
        directions: Unit vectors (2, 3) along a row (column index grows) and along a column.
        spacing_mm: Between rows, between columns, as DICOM orders them.
        shape: (rows, columns).
        thickness_mm: For a slice that is alone; None if unknown.
    """

    position_mm: tuple[float, ...]
    directions: tuple[float, ...]
    spacing_mm: tuple[float, ...]
    shape: tuple[int, int]
    thickness_mm: float | None = None

    @property
    def normal(self) -> FloatArray:
        """Return the unit vector (3,) that the slices are counted along."""
        rows, columns = np.reshape(self.directions, (2, 3))
        across = np.cross(rows, columns)
        unit: FloatArray = across / np.linalg.norm(across)
        return unit


@dataclass(frozen=True)
class Stack:
    """An order of slices and the affine (4, 4) of their grid.

    Attributes:
        order: Indices of the planes that were given, along the normal.
        affine: From (column, row, slice) to millimetres (right, anterior, superior), as NIfTI.
    """

    order: tuple[int, ...]
    affine: FloatArray


def stack(planes: Sequence[Plane], where: str) -> Stack:
    """Order slices and find their grid.

    Args:
        planes: At least one, in any order.
        where: For the sentence of an error.

    Raises:
        DataError: If they differ in shape, spacing or orientation, or two lie in one place, one
            is missing, or they are spaced unevenly or shifted against one another (a tilted
            gantry).
    """
    _check_alike(planes, where)
    first = planes[0]
    _check_directions(first, where)
    positions = np.array([plane.position_mm for plane in planes])
    order = np.argsort(positions @ first.normal, kind="stable")
    step = _step(first, positions[order], where)
    rows, columns = np.reshape(first.directions, (2, 3))
    affine = np.eye(4)
    affine[:3, 0] = rows / np.linalg.norm(rows) * first.spacing_mm[1]
    affine[:3, 1] = columns / np.linalg.norm(columns) * first.spacing_mm[0]
    affine[:3, 2] = step
    affine[:3, 3] = positions[order[0]]
    return Stack(tuple(int(index) for index in order), TO_RAS @ affine)


def _check_alike(planes: Sequence[Plane], where: str) -> None:
    first = planes[0]
    shapes = {plane.shape for plane in planes}
    if len(shapes) > 1:
        got = " and ".join(f"{rows} x {columns}" for rows, columns in sorted(shapes))
        raise refused(where, "slices of one shape", got, _SPLIT)
    for plane in planes:
        if not np.allclose(plane.directions, first.directions, rtol=0, atol=SAME_DIRECTION):
            got = f"{_rounded(first.directions)} and {_rounded(plane.directions)}"
            raise refused(where, "slices of one orientation", got, _SPLIT)
        if not np.allclose(plane.spacing_mm, first.spacing_mm, rtol=1e-3, atol=0):
            got = f"{_rounded(first.spacing_mm)} and {_rounded(plane.spacing_mm)}"
            raise refused(where, "slices of one pixel spacing_mm", got, _SPLIT)


def _check_directions(plane: Plane, where: str) -> None:
    rows, columns = np.reshape(plane.directions, (2, 3))
    lengths = np.linalg.norm([rows, columns], axis=1)
    if np.abs(lengths - 1).max() > UNIT_LENGTH or abs(float(rows @ columns)) > UNIT_LENGTH:
        wanted = "two directions of length 1 at right angles as ImageOrientationPatient"
        raise refused(where, wanted, _rounded(plane.directions))


def _step(first: Plane, positions: FloatArray, where: str) -> FloatArray:
    """Return the vector (3,) from one slice to the next."""
    if len(positions) == 1:
        if not first.thickness_mm or first.thickness_mm <= 0:
            raise refused(where, "SliceThickness above 0 for a single slice", "none")
        return first.normal * first.thickness_mm
    along = positions @ first.normal
    _check_distances(np.diff(along), where)
    step: FloatArray = (positions[-1] - positions[0]) / (len(positions) - 1)
    _check_upright(first, step, where)
    _check_regular(first, positions, step, where)
    return step


def _check_distances(distances: FloatArray, where: str) -> None:
    double = int((distances < SAME_PLACE_MM).sum())
    if double:
        got = f"{double} slices in the place of another"
        fix = "Take the copies out; if they are phases or contrasts, export them as series"
        raise refused(where, "one slice a position", got, fix)
    usual = float(np.sort(distances)[(len(distances) - 1) // 2])  # the lower of two middles
    gaps = np.flatnonzero(distances > GAP * usual)
    if gaps.size:
        number, mm = int(gaps[0]) + 1, float(distances[gaps[0]])
        got = f"{mm:.4g} mm between slices {number} and {number + 1} where {usual:.4g} mm is usual"
        fix = "A slice is missing: fetch the series again, whole"
        raise refused(where, "slices without a gap", got, fix)


def _check_upright(first: Plane, step: FloatArray, where: str) -> None:
    cosine = float(step @ first.normal / np.linalg.norm(step))
    degrees = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    if degrees > LARGEST_TILT_DEGREES:
        fix = "Reformat the series upright at the scanner or the PACS (gantry tilt correction)"
        raise refused(where, "slices stacked along their normal", f"a tilt of {degrees:.1f}°", fix)


def _check_regular(first: Plane, positions: FloatArray, step: FloatArray, where: str) -> None:
    regular = positions[0] + np.arange(len(positions))[:, None] * step
    away = positions - regular
    along = away @ first.normal
    aside = np.linalg.norm(away - along[:, None] * first.normal, axis=1)
    spacing = float(np.linalg.norm(step))
    worst = int(np.argmax(np.abs(along)))
    if abs(along[worst]) > UNEVEN * spacing:
        got = f"slice {worst + 1} {abs(along[worst]):.3g} mm off a spacing of {spacing:.4g} mm"
        fix = "Reconstruct the series with even spacing"
        raise refused(where, "evenly spaced slices", got, fix)
    if aside.max() > ASIDE * min(first.spacing_mm):
        got = f"slice {int(np.argmax(aside)) + 1} {aside.max():.3g} mm aside"
        raise refused(where, "slices straight above one another", got, _SPLIT)


_SPLIT = "Export each stack as a series of its own"


def _rounded(values: Sequence[float]) -> str:
    return f"({', '.join(f'{value:.4g}' for value in values)})"
