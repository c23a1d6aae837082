"""Outlines of a mask along the edges of its pixels: filling them gives the mask back, exactly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from crisp_core.arrays import BoolArray, FloatArray

Corner = tuple[int, int]
Edge = tuple[Corner, int]
"""Where a pixel's edge begins, and its direction: an index of `STEPS`."""
STEPS: tuple[Corner, ...] = ((0, 1), (1, 0), (0, -1), (-1, 0))
"""Right, down, left, up: each is the right turn of the one before."""
HALF = 0.5


def outlines(mask: BoolArray) -> list[FloatArray]:
    """Return one closed outline for every part of a mask that hangs together by edges.

    A hole is joined to the outline around it by a cut of no width, walked there and back, so that
    every rule of filling leaves it empty.

    Args:
        mask: (H, W).

    Returns:
        (N, 2) each, row and column of the corners in order, the last one not repeated. Pixel
        (r, c) reaches from r - 0.5 to r + 0.5 and from c - 0.5 to c + 0.5.

    Examples:
        >>> outlines(np.array([[True]]))[0].tolist()
        [[-0.5, 0.5], [0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]]
    """
    parts, count = ndimage.label(mask)
    return [_outline(parts == number) for number in range(1, count + 1)]


def _outline(part: BoolArray) -> FloatArray:
    """Return the outer border of one part with its holes joined to it."""
    outer, *holes = sorted(_loops(part), key=_extent, reverse=True)
    for hole in holes:
        outer = _joined(outer, hole)
    return np.array(outer, np.float64) - HALF


def _loops(part: BoolArray) -> Iterator[list[Corner]]:
    """Walk every border once, the mask on the right, and keep the corners where it turns."""
    left = dict.fromkeys(_edges(part))
    while left:
        first = edge = next(iter(left))
        loop: list[Corner] = []
        while True:
            del left[edge]
            following = _next(edge, left, first)
            if following[1] != edge[1]:
                loop.append(following[0])
            if following == first:
                break
            edge = following
        yield loop


def _edges(part: BoolArray) -> Iterator[Edge]:
    """List the edges between a pixel of the mask and one that is not."""
    padded = np.pad(part, 1)
    neighbours = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    begins = ((0, 0), (0, 1), (1, 1), (1, 0))
    for direction, (neighbour, (down, right)) in enumerate(zip(neighbours, begins, strict=True)):
        for row, column in np.argwhere(part & ~neighbour).tolist():
            yield (row + down, column + right), direction


def _next(edge: Edge, left: dict[Edge, None], first: Edge) -> Edge:
    """Go on from an edge; where two borders touch, the right turn stays at the same pixel."""
    (row, column), direction = edge
    at = (row + STEPS[direction][0], column + STEPS[direction][1])
    for turn in (1, 0, 3):
        following = (at, (direction + turn) % len(STEPS))
        if following in left or following == first:
            return following
    message = f"the border of a mask does not go on from {at}"
    raise ValueError(message)


def _extent(loop: list[Corner]) -> int:
    """Return the rows that a loop spans: the outer border spans more than any hole in it."""
    rows = [row for row, _ in loop]
    return max(rows) - min(rows)


def _joined(outer: list[Corner], hole: list[Corner]) -> list[Corner]:
    """Cut from the nearest corner of the outline to the hole, walk around it and come back."""
    one, other = np.array(outer), np.array(hole)
    distances = np.abs(one[:, None] - other[None]).sum(axis=-1)
    here, there = np.unravel_index(distances.argmin(), distances.shape)
    around = [*hole[there:], *hole[: there + 1]]
    return [*outer[: here + 1], *around, *outer[here:]]
