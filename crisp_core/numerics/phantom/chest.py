"""The chest of one person in CT: lungs, fissures, heart, bones and the trees of the lung."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import FloatArray
from crisp_core.numerics.phantom.shapes import ellipse_distance, paint
from crisp_core.numerics.phantom.tree import Tree, grow_tree
from crisp_core.numerics.phantom.waves import Waves, draw_waves

SIDES = (-1.0, 1.0)
RIB_TURNS = 13


@dataclass(frozen=True)
class Chest:
    """One person's chest, in RAS mm around the carina.

    Attributes:
        scale: Size of the person, 1 for the average.
        fat_mm: Thickness of the subcutaneous fat.
        heart_mm: Half axes of the heart.
        arteries: One tree for each side.
        veins: One tree for each side.
        airways: One tree for each side, beside the arteries, and the windpipe with its fork.
        warp: Three fields that bend the picture, mm.
        texture: Fields of unit variance: lung tissue, soft tissue, lesions.
    """

    scale: float
    fat_mm: float
    heart_mm: tuple[float, float, float]
    arteries: tuple[Tree, ...]
    veins: tuple[Tree, ...]
    airways: tuple[Tree, ...]
    warp: tuple[Waves, ...]
    texture: tuple[Waves, ...]


@dataclass(frozen=True)
class ChestSpace:
    """Where the voxels lie: `x, y, z` bent, in mm, and the depth under the lungs' surface.

    Attributes:
        x: Towards the right of the person.
        y: Towards the front.
        z: Towards the head.
        lung: Signed distance to the lungs, negative inside, mm.
    """

    x: FloatArray
    y: FloatArray
    z: FloatArray
    lung: FloatArray


def lung_distance(
    x_mm: FloatArray, y_mm: FloatArray, z_mm: FloatArray, scale: float, side: float
) -> FloatArray:
    """Return the signed distance to one lung, roughly, negative inside, mm.

    It is an ellipsoid, cut by the mediastinum.
    """
    x, y, z = x_mm * side / scale - 68, y_mm / scale + 8, z_mm / scale + 10
    level = np.sqrt((x / 62) ** 2 + (y / 86) ** 2 + (z / 135) ** 2)
    middle = 24 + 14 * np.exp(-((y - 10) ** 2) / 900) - 68
    return np.asarray(scale * np.maximum((level - 1) * 66, middle - x), np.float32)


def heart_distance(
    x_mm: FloatArray, y_mm: FloatArray, z_mm: FloatArray, half_mm: tuple[float, float, float]
) -> FloatArray:
    """Return the signed distance to the heart, roughly, negative inside, mm."""
    level = np.sqrt(
        ((x_mm + 26) / half_mm[0]) ** 2
        + ((y_mm - 30) / half_mm[1]) ** 2
        + ((z_mm + 58) / half_mm[2]) ** 2
    )
    return np.asarray((level - 1) * min(half_mm), np.float32)


def _draw_seeds(
    count: int,
    scale: float,
    side: float,
    half_mm: tuple[float, float, float],
    generator: np.random.Generator,
) -> FloatArray:
    """Draw points inside one lung, 5 mm under its surface and 6 mm off the heart."""
    low, high = np.array([-140.0, -100, -75]), np.array([140.0, 100, 60])
    points = generator.uniform(low, high, (12 * count + 200, 3))
    x, y, z = points.T
    inside = lung_distance(x, y, z, scale, side) < -5  # noqa: PLR2004 - as the docstring says
    inside &= heart_distance(x, y, z, half_mm) > 6  # noqa: PLR2004 - as the docstring says
    return points[inside][:count]


def draw_chest(generator: np.random.Generator, seed_count: int = 260) -> Chest:
    """Draw the chest of one person, with `seed_count` leaves in each of the four vessel trees."""
    scale = generator.uniform(0.88, 1.08)
    half = (generator.uniform(50, 62), generator.uniform(42, 50), generator.uniform(48, 60))
    arteries: list[Tree] = []
    veins: list[Tree] = []
    airways: list[Tree] = []
    for side in SIDES:
        for trees, root in ((arteries, (34, -2, -8)), (veins, (32, -14, -28))):
            place = np.array(root) * (side, 1, 1) * scale + generator.normal(0, 2, 3)
            seeds = _draw_seeds(seed_count, scale, side, half, generator)
            leaf_mm = generator.uniform(0.85, 1.05)
            trees.append(grow_tree(place, seeds, leaf_mm, generator=generator))
        beside = np.array([2.0 * side, -5.0, 3.5])
        airways.append(arteries[-1].thicker_than(2.0).moved(beside, 0.75))
    carina, throat = np.array([0.0, -10.0, 10.0]), np.array([0.0, -8.0, 70.0])
    roots = [tree.start_mm[0] for tree in airways]
    bronchi = Tree(
        start_mm=np.stack([throat, carina, carina]),
        end_mm=np.stack([carina, *roots]),
        radius_mm=np.array([8.5, 6.0, 6.0]) * scale,
        parent=np.array([-1, 0, 0]),
    )
    return Chest(
        scale=scale,
        fat_mm=generator.uniform(8, 22),
        heart_mm=half,
        arteries=tuple(arteries),
        veins=tuple(veins),
        airways=(*airways, bronchi),
        warp=tuple(draw_waves((70, 180), 2.5, generator) for _ in range(3)),
        texture=(
            draw_waves((5, 14), 1.0, generator, count=32),
            draw_waves((12, 60), 1.0, generator, count=16),
            draw_waves((25, 90), 1.0, generator, count=16),
        ),
    )


def paint_body(
    hounsfield: FloatArray, chest: Chest, space: ChestSpace, texture: FloatArray
) -> None:
    """Paint skin, fat, muscle and bones, in place, HU."""
    x, y = space.x / chest.scale, space.y / chest.scale + 6
    skin = ellipse_distance(x, y, 138 + chest.fat_mm, 104 + chest.fat_mm)
    hounsfield[...] = -1000
    paint(hounsfield, skin, -100 + 8 * texture, 1.7)
    paint(hounsfield, skin + chest.fat_mm, 48 + 10 * texture, 1.7)
    paint(hounsfield, np.abs(skin + chest.fat_mm + 8) - 1.5, -80, 1.7)
    turn = np.arctan2(y, x)
    ribs = 14 * (np.cos(RIB_TURNS * turn + space.z / 7) - 0.35)
    wall = np.maximum(np.abs(skin + chest.fat_mm + 11) - 3.4, -ribs)
    paint(hounsfield, wall, 420, 1.7)
    paint(hounsfield, wall + 2.0, 170, 1.7)
    spine = ellipse_distance(x, y + 70, 19, 15)
    paint(hounsfield, spine, 330, 1.7)
    paint(hounsfield, spine + 2.0, 170 + 25 * texture, 1.7)
    paint(hounsfield, ellipse_distance(x, y + 92, 10, 8), 40, 1.7)
    paint(hounsfield, np.abs(ellipse_distance(x, y + 92, 10, 8)) - 2, 330, 1.7)
    paint(hounsfield, ellipse_distance(x, y - 92, 17, 5), 230, 1.7)


def paint_mediastinum(
    hounsfield: FloatArray, chest: Chest, space: ChestSpace, blood_hu: float
) -> None:
    """Paint fat between the lungs, the heart, both aortas and the lung's great vessels, HU."""
    x, y, z = space.x, space.y, space.z
    paint(hounsfield, ellipse_distance(x, y - 5, 52, 70), -90, 3.0)
    heart = heart_distance(x, y, z, chest.heart_mm)
    paint(hounsfield, heart - 4, -90, 1.7)
    paint(hounsfield, heart, 45, 1.7)
    for centre_x, centre_y, half_x, half_y in (
        (-42, 22, 17, 20),
        (-4, 42, 22, 15),
        (-8, 6, 24, 13),
    ):
        chamber = ellipse_distance(x - centre_x, y - centre_y, half_x, half_y)
        paint(hounsfield, np.maximum(chamber, heart + 7), blood_hu, 1.7)
    for centre_x, centre_y, radius in ((-22, -46, 12), (4, 26, 15), (26, 26, 8)):
        great = ellipse_distance(x - centre_x, y - centre_y, radius, radius)
        paint(hounsfield, np.maximum(great, -heart - 4), blood_hu, 1.7)
    trunk = np.maximum(ellipse_distance(x, y - 6, 44, 9), np.abs(z + 12) - 11)
    paint(hounsfield, np.maximum(trunk, -heart), blood_hu, 1.7)


def fissure_distance(space: ChestSpace, chest: Chest) -> FloatArray:
    """Return the distance to the oblique fissures, mm: a thin plane, lower in front."""
    plane = (space.z / chest.scale + 8) * 0.8 + (space.y / chest.scale + 12) * 0.6
    return np.asarray(np.abs(plane) - 0.6, np.float32)
