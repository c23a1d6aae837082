"""Both ventricles on a grid: distances, labels, and what they look like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import AnyArray, FloatArray
from crisp_core.numerics.phantom.heart import Heart, inner_radius, outer_radius, taper
from crisp_core.numerics.phantom.person import Space
from crisp_core.numerics.phantom.shapes import ellipse_distance, paint

CAVITY, MUSCLE, RIGHT = 1, 2, 3
EDGE_MM = 1.5
NARROWEST = np.float32(0.02)


@dataclass(frozen=True)
class Ventricles:
    """Signed distances to the parts of the heart, mm, negative inside, `(X, Y, Z)`.

    Attributes:
        inner: Left cavity, as deep as it goes, not cut at the base.
        outer: Left ventricle with its wall.
        right: Right cavity, the left ventricle not yet taken out.
        above: Distance to the valve plane, negative above it.
    """

    inner: FloatArray
    outer: FloatArray
    right: FloatArray
    above: FloatArray

    @property
    def around(self) -> FloatArray:
        """Distance to the outside of both, the thin wall of the right one included."""
        return np.asarray(np.minimum(self.outer, self.right - 3.5), np.float32)


def ventricles(heart: Heart, space: Space) -> Ventricles:
    """Measure every voxel against both ventricles."""
    depth = (space.z - heart.base_mm) / (0.93 * heart.length_mm)
    narrow = np.maximum(taper(depth, 1.7), NARROWEST)
    septum = heart.radius_mm + heart.wall_mm
    middle = -0.5 * septum - 0.15 * (heart.right_reach_mm - septum)
    reach = heart.right_reach_mm + middle
    right = ellipse_distance(
        space.heart_x - middle * narrow,
        space.heart_y + 2.0,
        reach * narrow,
        heart.right_height_mm * narrow,
    )
    return Ventricles(
        inner=space.radius - inner_radius(heart, space.angle, space.z),
        outer=space.radius - outer_radius(heart, space.angle, space.z),
        right=right + np.float32(8) * (narrow <= NARROWEST),
        above=space.z - np.float32(heart.base_mm),
    )


def label_heart(parts: Ventricles) -> AnyArray:
    """Return uint8 labels: papillary muscles and trabeculae belong to the cavity."""
    below = parts.above >= 0
    label = np.zeros(parts.inner.shape, np.uint8)
    label[below & (parts.right < 0)] = RIGHT
    label[below & (parts.outer < 0)] = MUSCLE
    label[below & (parts.inner < 0)] = CAVITY
    return label


def cavity_blood(parts: Ventricles) -> FloatArray:
    """Return 1.0 in both cavities and 0.0 elsewhere: the blood that pulsates."""
    return np.asarray(np.minimum(parts.inner, parts.right) < 0, np.float32)


def _papillary_distance(heart: Heart, space: Space) -> FloatArray:
    """Return the distance to the two papillary muscles, mm."""
    depth = (space.z - heart.base_mm) / heart.length_mm
    size = heart.papillary_mm * np.sqrt(np.clip(1 - ((depth - 0.52) / 0.28) ** 2, 0, 1))
    away = 0.66 * heart.radius_mm * taper(depth)
    distances = [
        np.hypot(
            space.heart_x - away * np.float32(math.cos(angle)),
            space.heart_y - away * np.float32(math.sin(angle)),
        )
        for angle in (-0.9, 1.25)
    ]
    distance = np.minimum(*distances) - size * (1 + 0.25 * space.textures[2])
    return np.asarray(distance, np.float32)


def _paint_base(
    canvas: FloatArray,
    parts: Ventricles,
    around: FloatArray,
    space: Space,
    signal: Mapping[str, float],
) -> None:
    """Paint atria, aortic root and outflow tract above the valve plane."""
    top = np.s_[..., : int((parts.above < EDGE_MM).sum())]
    x, y, above, shown = space.heart_x[top], space.heart_y[top], parts.above[top], canvas[top]
    paint(shown, np.maximum(around[top] + 2, above), 0.8 * signal["fat"], EDGE_MM)
    for centre_x, centre_y, half_x, half_y in (
        (14, 12, 26, 19),
        (-42, 14, 23, 24),
        (-30, -26, 20, 13),
        (-6, -8, 15, 14),
    ):
        chamber = ellipse_distance(x - centre_x, y - centre_y, half_x, half_y)
        chamber = np.maximum(chamber, above)
        paint(shown, np.maximum(chamber - 2.5, above), signal["heart"], EDGE_MM)
        paint(shown, chamber, signal["blood"], EDGE_MM)


def paint_heart(
    canvas: FloatArray,
    heart: Heart,
    parts: Ventricles,
    space: Space,
    fat_mm: float,
    signal: Mapping[str, float],
) -> None:
    """Paint fat, walls and blood of the heart, in place."""
    around, trabeculae = parts.around, space.textures[2]
    depth = np.clip((space.z - heart.base_mm) / heart.length_mm, 0, 1)
    rim = fat_mm * (0.8 + 0.9 * space.textures[4] + 1.2 * np.cos(space.angle + np.float32(2.2)))
    paint(canvas, around - np.maximum(rim, 0), signal["fat"], EDGE_MM)
    paint(canvas, around - 0.8, 0.45 * signal["heart"], EDGE_MM)
    _paint_base(canvas, parts, around, space, signal)
    paint(canvas, np.maximum(around, -parts.above), signal["heart"], EDGE_MM)
    right = np.maximum(parts.right, 1.0 - parts.outer)
    rough = (0.9 + 2.0 * depth) * trabeculae
    paint(
        canvas, np.maximum(right + np.maximum(rough, -0.5), -parts.above), signal["blood"], EDGE_MM
    )
    left = parts.inner + np.maximum(rough * 0.8, -0.3)
    paint(canvas, np.maximum(left, -parts.above), signal["blood"], EDGE_MM)
    pillars = np.maximum(_papillary_distance(heart, space), parts.inner)
    paint(canvas, pillars, signal["heart"], EDGE_MM)
