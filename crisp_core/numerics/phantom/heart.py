"""The heart of one person in one phase: two ventricles as a function of depth and angle.

Short-axis frame, in mm: x from the septum to the lateral wall, y from anterior to inferior, z from
the base towards the apex. The left ventricle is a truncated ellipsoid around the z axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from crisp_core.arrays import FloatArray

SEPTUM_RAD = math.pi


@dataclass(frozen=True)
class Heart:
    """Both ventricles in one phase.

    Attributes:
        base_mm: z of the valve plane.
        length_mm: Inner length of the left ventricle, valve plane to apex.
        radius_mm: Inner radius at the base.
        wall_mm: Wall thickness at the base, away from any bulge.
        bulge: Extra thickness of the septum, share of the wall; hypertrophy.
        thin: Missing thickness of the infarcted segment, share of the wall.
        segment_rad: Angle of the middle of the infarcted segment.
        oval: Second harmonic of the cavity, share of its radius.
        right_reach_mm: From the left ventricle's axis to the far free wall of the right.
        right_height_mm: Half the height of the right ventricle at the base.
        papillary_mm: Radius of the papillary muscles.
    """

    base_mm: float
    length_mm: float
    radius_mm: float
    wall_mm: float
    bulge: float
    thin: float
    segment_rad: float
    oval: float
    right_reach_mm: float
    right_height_mm: float
    papillary_mm: float


@dataclass(frozen=True)
class Condition:
    """How a disease shows: factors on a normal heart, and how it contracts.

    Attributes:
        radius: Factor on the inner radius.
        wall: Factor on the wall thickness.
        right: Factor on the reach of the right ventricle beyond the septum.
        bulge: As in `Heart`.
        thin: As in `Heart`.
        ejection: Ejection fraction of the left ventricle.
    """

    radius: float = 1.0
    wall: float = 1.0
    right: float = 1.0
    bulge: float = 0.1
    thin: float = 0.0
    ejection: float = 0.62


CONDITIONS = {
    "normal": Condition(),
    "dilated": Condition(radius=1.27, wall=0.88, ejection=0.27),
    "hypertrophic": Condition(radius=0.94, wall=1.35, bulge=0.45, ejection=0.70),
    "infarct": Condition(radius=1.12, thin=0.45, ejection=0.40),
    "right-dilated": Condition(radius=0.97, right=1.5, ejection=0.57),
}


def draw_heart(condition: Condition, generator: np.random.Generator) -> Heart:
    """Draw the heart of one person at the end of diastole."""
    spread = generator.normal(1, 0.06, size=6).clip(0.86, 1.14).tolist()
    radius, wall = 25.5 * condition.radius * spread[0], 9.0 * condition.wall * spread[1]
    length = 86 * spread[2] * math.sqrt(condition.radius)
    return Heart(
        base_mm=-0.5 * length,
        length_mm=length,
        radius_mm=radius,
        wall_mm=wall,
        bulge=condition.bulge * spread[3],
        thin=condition.thin,
        segment_rad=generator.uniform(-math.pi, math.pi),
        oval=generator.normal(0, 0.025),
        right_reach_mm=radius + wall + 38 * condition.right**0.7 * spread[4],
        right_height_mm=(radius + wall) * (1.06 + 0.12 * (condition.right - 1)) * spread[5],
        papillary_mm=generator.uniform(3.4, 5.0),
    )


def contracted(heart: Heart, ejection: float) -> Heart:
    """Return the same heart at the end of systole.

    The cavity keeps `1 - ejection` of its volume: a share of the loss is shortening (the base
    moves, the apex stays), the rest is radial. The wall thickens as much as keeps its volume:
    muscle cannot be compressed.
    """
    shortening = 0.27 * ejection
    length = heart.length_mm * (1 - shortening)
    narrowing = math.sqrt((1 - ejection) / (1 - shortening))
    radius = heart.radius_mm * narrowing
    muscle_mm2 = (heart.radius_mm + heart.wall_mm) ** 2 - heart.radius_mm**2
    wall = math.sqrt(radius**2 + muscle_mm2 / (1 - shortening)) - radius
    pull = 0.45 + 0.55 * narrowing
    return replace(
        heart,
        base_mm=heart.base_mm + heart.length_mm - length,
        length_mm=length,
        radius_mm=radius,
        wall_mm=wall,
        right_reach_mm=radius
        + wall
        + (heart.right_reach_mm - heart.radius_mm - heart.wall_mm) * pull,
        right_height_mm=heart.right_height_mm * (0.4 + 0.6 * pull),
        papillary_mm=heart.papillary_mm * 1.15,
    )


def taper(depth: FloatArray, power: float = 2.3) -> FloatArray:
    """Return the radius at a depth as a share of that at the base: 1 at 0, 0 from 1 on.

    Above the base (negative depth) it narrows gently, as the atrium does.
    """
    below = np.sqrt(1 - np.clip(depth, 0, 1) ** power)
    return np.asarray(below * (1 - 0.3 * np.clip(-depth, 0, 1)), np.float32)


def inner_radius(heart: Heart, angle_rad: FloatArray, z_mm: FloatArray) -> FloatArray:
    """Return the radius of the left cavity, mm, for every angle and level."""
    depth = (z_mm - heart.base_mm) / heart.length_mm
    return heart.radius_mm * taper(depth) * (1 + heart.oval * np.cos(2 * angle_rad))


def outer_radius(heart: Heart, angle_rad: FloatArray, z_mm: FloatArray) -> FloatArray:
    """Return the radius of the outer wall of the left ventricle, mm: never below the inner one."""
    depth = (z_mm - heart.base_mm) / (heart.length_mm + 0.8 * heart.wall_mm)
    septum = np.exp(2.5 * (np.cos(angle_rad - SEPTUM_RAD) - 1))
    segment = np.exp(4.0 * (np.cos(angle_rad - heart.segment_rad) - 1))
    wall = heart.wall_mm * (1 + heart.bulge * septum) * (1 - heart.thin * segment)
    around = heart.radius_mm * (1 + heart.oval * np.cos(2 * angle_rad)) + wall
    return np.asarray(around * taper(depth), np.float32)
