"""Outlines to pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crisp_core.arrays import BoolArray, FloatArray, IntArray

MOST_EDGES = 1000
"""Worked on at once: bounds the memory that a long outline takes."""


def filled(polygons: Sequence[FloatArray], shape: tuple[int, int]) -> BoolArray:
    """Mark the pixels whose centre lies inside an odd number of polygons: a hole is a polygon too.

    A centre exactly on an edge belongs to the polygon below or to the right of it, so polygons
    that share an edge share no pixel. Cost grows with the outline's length in rows, not with the
    area.

    Args:
        polygons: Corners (N, 2) as (row, column) in pixels, pixel centres at whole numbers; the
            last corner is joined to the first.
        shape: Rows and columns of the result; what lies outside is cut off.

    Returns:
        Boolean (rows, columns).

    Examples:
        >>> square = np.array([[0.5, 0.5], [0.5, 2.5], [2.5, 2.5], [2.5, 0.5]])
        >>> int(filled([square], (4, 4)).sum())
        4
    """
    crossings = np.zeros((shape[0], shape[1] + 1), np.int64)
    for polygon in polygons:
        _count_crossings(polygon, crossings)
    inside: BoolArray = np.cumsum(crossings, axis=1)[:, : shape[1]] % 2 == 1
    return inside


def _count_crossings(polygon: FloatArray, crossings: IntArray) -> None:
    """Count each crossing of a row's line at the first pixel centre to the right of it."""
    edges = np.stack([polygon, np.roll(polygon, -1, axis=0)], axis=1)
    for few in np.array_split(edges, len(edges) // MOST_EDGES + 1):
        _count_edges(few, crossings)


def _count_edges(edges: FloatArray, crossings: IntArray) -> None:
    rows, columns = crossings.shape
    upward = (edges[:, 0, 0] > edges[:, 1, 0])[:, None]
    low = np.where(upward, edges[:, 1], edges[:, 0])
    high = np.where(upward, edges[:, 0], edges[:, 1])
    first = np.clip(np.ceil(low[:, 0]), 0, rows).astype(int)
    last = np.clip(np.ceil(high[:, 0]), 0, rows).astype(int)  # half open: a corner counts once
    counts = last - first
    edge = np.repeat(np.arange(len(edges)), counts)
    lines = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    share = (lines - low[edge, 0]) / (high[edge, 0] - low[edge, 0])
    where = np.ceil(low[edge, 1] + share * (high[edge, 1] - low[edge, 1]))
    np.add.at(crossings, (lines, np.clip(where, 0, columns - 1).astype(int)), 1)
