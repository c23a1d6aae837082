"""What lies around the heart in a short-axis picture: chest wall, lung, liver, stomach, spine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import FloatArray
from crisp_core.numerics.phantom.shapes import ellipse_distance, paint, rotated

EDGE_MM = 1.5


@dataclass(frozen=True)
class Thorax:
    """The surroundings of one person's heart, in mm from the middle of the left ventricle.

    Attributes:
        anterior_degrees: Where the breastbone lies; -90 is up in the picture.
        chest_mm: From the heart's axis to the skin of the front.
        width_mm: Half the width of the chest.
        fat_mm: Thickness of the subcutaneous fat.
        muscle_mm: Thickness of the chest wall under the fat.
        liver_mm: y of the top of the liver at mid level.
        pericardial_mm: Thickness of the fat around the heart.
        rib_phase_rad: Where the ribs lie around the chest.
    """

    anterior_degrees: float
    chest_mm: float
    width_mm: float
    fat_mm: float
    muscle_mm: float
    liver_mm: float
    pericardial_mm: float
    rib_phase_rad: float


def draw_thorax(heart_mm: float, generator: np.random.Generator) -> Thorax:
    """Draw the surroundings of a heart whose outer radius is `heart_mm`."""
    fat, muscle = generator.uniform(7, 24), generator.uniform(9, 16)
    return Thorax(
        anterior_degrees=generator.uniform(-135, -110),
        chest_mm=heart_mm + generator.uniform(5, 15) + fat + muscle,
        width_mm=generator.uniform(140, 170),
        fat_mm=fat,
        muscle_mm=muscle,
        liver_mm=heart_mm + generator.uniform(-2, 6),
        pericardial_mm=generator.uniform(2.5, 6.5),
        rib_phase_rad=generator.uniform(0, 2 * math.pi),
    )


def _paint_chest_wall(
    canvas: FloatArray,
    thorax: Thorax,
    place: tuple[FloatArray, FloatArray],
    signal: Mapping[str, float],
) -> None:
    """Paint everything outside the ribs, from the inside out; `place` is x, y in mm."""
    along, across = rotated(place[0], place[1], thorax.anterior_degrees)
    depth_mm = 108.0
    skin = ellipse_distance(along - (thorax.chest_mm - depth_mm), across, depth_mm, thorax.width_mm)
    paint(canvas, -(skin + thorax.fat_mm + thorax.muscle_mm), signal["muscle"], EDGE_MM)
    turn = np.arctan2(across, along - (thorax.chest_mm - depth_mm))
    rib = np.float32(0.62) - np.cos(11 * turn + np.float32(thorax.rib_phase_rad))
    middle = np.abs(skin + thorax.fat_mm + 0.5 * thorax.muscle_mm)
    rib_mm = np.maximum(middle - 0.27 * thorax.muscle_mm, rib * 12)
    paint(canvas, rib_mm - 1.5, 0.3 * signal["muscle"], EDGE_MM)
    paint(canvas, rib_mm + 1.0, 0.8 * signal["marrow"], EDGE_MM)
    paint(canvas, -(skin + thorax.fat_mm), signal["fat"], EDGE_MM)
    paint(canvas, -(skin + 2.0), 0.6 * signal["muscle"], EDGE_MM)
    paint(canvas, -skin, signal["air"], EDGE_MM)


def _paint_belly(
    canvas: FloatArray,
    thorax: Thorax,
    place: tuple[FloatArray, FloatArray, FloatArray],
    textures: tuple[FloatArray, ...],
    signal: Mapping[str, float],
) -> None:
    """Paint liver, stomach and spleen under the diaphragm; `place` is x, y, z in mm."""
    x, y, z = place
    dome = ellipse_distance(x - 12, y + 0.3 * z - thorax.liver_mm - 95, 128, 95)
    paint(canvas, dome - 2.0, signal["fat"], EDGE_MM)
    paint(canvas, dome, 0.7 * signal["muscle"], EDGE_MM)
    paint(canvas, dome + 2.5, signal["fat"], EDGE_MM)
    liver = np.maximum(dome + 3.5, (x - 18) + 0.25 * y)
    loops = textures[1]
    paint(canvas, np.maximum(dome + 5, 7 - 9 * np.abs(loops)), 0.8 * signal["muscle"], 2.0)
    paint(canvas, np.maximum(dome + 7, 12 - 9 * np.abs(loops)), signal["spleen"], 2.0)
    paint(canvas, liver - 2, signal["fat"], 2.0)
    paint(canvas, liver, signal["liver"], 2.0)
    paint(canvas, np.maximum(liver + 6, (1.7 - textures[2]) * 3), 0.6 * signal["blood"], EDGE_MM)
    wall = ellipse_distance(x - 52, y - thorax.liver_mm - 34 + 0.1 * z, 26, 17)
    paint(canvas, np.maximum(wall, dome + 4), signal["muscle"], EDGE_MM)
    paint(canvas, np.maximum(wall + 4, dome + 7), 0.35 * signal["muscle"], EDGE_MM)
    spleen = ellipse_distance(x - 96, y - thorax.liver_mm - 26 + 0.15 * z, 22, 34)
    paint(canvas, np.maximum(spleen, dome + 3.5), signal["spleen"], EDGE_MM)


def _paint_spine(
    canvas: FloatArray, place: tuple[FloatArray, FloatArray], signal: Mapping[str, float]
) -> None:
    """Paint the descending aorta and a vertebra behind the heart; `place` is x, y in mm."""
    x, y = place
    paint(canvas, ellipse_distance(x - 84, y - 44, 25, 22), 0.8 * signal["muscle"], EDGE_MM)
    paint(canvas, ellipse_distance(x - 86, y - 46, 20, 17), signal["marrow"], EDGE_MM)
    paint(canvas, ellipse_distance(x - 62, y - 24, 15, 15), 0.7 * signal["fat"], EDGE_MM)
    paint(canvas, ellipse_distance(x - 62, y - 24, 13, 13), 0.6 * signal["muscle"], EDGE_MM)
    paint(canvas, ellipse_distance(x - 62, y - 24, 11, 11), signal["blood"], EDGE_MM)


def paint_thorax(
    canvas: FloatArray,
    thorax: Thorax,
    place: tuple[FloatArray, FloatArray, FloatArray],
    textures: tuple[FloatArray, ...],
    signal: Mapping[str, float],
) -> None:
    """Paint everything but the heart, in place.

    Args:
        canvas: float32 `(X, Y, Z)`; changed.
        thorax: What to paint.
        place: x, y, z in mm, each `(X, Y, Z)` or broadcasting to it.
        textures: Fields of unit variance: fine ones first, see `Person.texture`.
        signal: Signal of each tissue by name.
    """
    x, y, z = place
    speckle = textures[0]
    canvas[...] = signal["lung"] * (1 + 0.25 * speckle)
    paint(canvas, (1.9 - speckle) * 2.5, 0.45 * signal["blood"], EDGE_MM)
    between = ellipse_distance(x + 42, y - 4 + 0.1 * z, 50 + 5 * textures[4], 36)
    paint(canvas, between, 0.85 * signal["fat"] * (1 - 0.12 * np.abs(textures[1])), 2.0)
    _paint_belly(canvas, thorax, place, textures, signal)
    _paint_spine(canvas, (x, y), signal)
    _paint_chest_wall(canvas, thorax, (x, y), signal)
