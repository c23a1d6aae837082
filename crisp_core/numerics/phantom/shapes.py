"""Painting tissue by distance, and the one shape everybody needs: the ellipse."""

from __future__ import annotations

import math

import numpy as np

from crisp_core.arrays import FloatArray


def paint(
    canvas: FloatArray, distance_mm: FloatArray, value: FloatArray | float, softness_mm: float
) -> None:
    """Paint `value` where the distance is negative, in place, with an antialiased edge.

    Args:
        canvas: float32 `(X, Y, Z)`; changed.
        distance_mm: Signed distance to the edge, negative inside; broadcasts to `canvas`.
        value: What to paint.
        softness_mm: Width of the ramp at the edge, about one voxel.
    """
    share = np.clip(np.float32(0.5) - distance_mm * np.float32(1 / softness_mm), 0, 1)
    canvas += share * (value - canvas)


def ellipse_distance(
    x_mm: FloatArray, y_mm: FloatArray, half_x_mm: FloatArray | float, half_y_mm: FloatArray | float
) -> FloatArray:
    """Return the signed distance to an ellipse around the origin, to first order.

    It is exact on the edge and for circles away from it: `f / |grad f|` with
    `f = |(x/a, y/b)| - 1`, scaled by the radius towards the point.
    """
    level = np.sqrt((x_mm / half_x_mm) ** 2 + (y_mm / half_y_mm) ** 2) + np.float32(1e-6)
    radius = np.sqrt(x_mm**2 + y_mm**2)
    return (radius * (1 - 1 / level)).astype(np.float32, copy=False)


def rotated(x_mm: FloatArray, y_mm: FloatArray, degrees: float) -> tuple[FloatArray, FloatArray]:
    """Return the coordinates in a frame that is turned by `degrees` (x towards y)."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (
        np.float32(cosine) * x_mm + np.float32(sine) * y_mm,
        np.float32(cosine) * y_mm - np.float32(sine) * x_mm,
    )
