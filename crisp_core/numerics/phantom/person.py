"""One person in the scanner: heart, chest, and where every voxel lies in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import FloatArray
from crisp_core.numerics.phantom.heart import CONDITIONS, Heart, draw_heart
from crisp_core.numerics.phantom.shapes import rotated
from crisp_core.numerics.phantom.thorax import Thorax, draw_thorax
from crisp_core.numerics.phantom.waves import Waves, draw_waves, field


@dataclass(frozen=True)
class Person:
    """Everything about one person that does not change with the phase.

    Attributes:
        heart: At the end of diastole.
        thorax: What lies around it.
        heart_degrees: Turn of the heart in the short-axis plane.
        tilt: Drift of the heart's axis, mm per mm of z, along x and y.
        warp: Two fields that bend the picture, mm.
        texture: Fields of unit variance: lung vessels, muscle and organs, trabeculae, coil, fat.
        direction: Unit vectors of x, y and z in RAS, as columns `(3, 3)`.
        centre_mm: Where the middle of the left ventricle lies, RAS.
    """

    heart: Heart
    thorax: Thorax
    heart_degrees: float
    tilt: tuple[float, float]
    warp: tuple[Waves, Waves]
    texture: tuple[Waves, ...]
    direction: FloatArray
    centre_mm: FloatArray


def _draw_direction(generator: np.random.Generator) -> FloatArray:
    """Draw the short-axis plane: z points left, forward and down, y mostly down.

    The picture is seen from the apex, so x, y, z is a left-handed frame.
    """
    z = np.array([-0.74, 0.52, -0.43]) + generator.normal(0, 0.03, 3)
    y = np.array([0.0, 0.0, -1.0]) + generator.normal(0, 0.03, 3)
    z /= np.linalg.norm(z)
    y -= z * (y @ z)
    y /= np.linalg.norm(y)
    return np.stack([np.cross(z, y), y, z], axis=1)


def draw_person(group: str, generator: np.random.Generator) -> Person:
    """Draw one person with the heart disease `group`, a key of `CONDITIONS`."""
    heart = draw_heart(CONDITIONS[group], generator)
    return Person(
        heart=heart,
        thorax=draw_thorax(heart.radius_mm + heart.wall_mm, generator),
        heart_degrees=generator.uniform(-16, 10),
        tilt=(generator.normal(0, 0.05), generator.normal(0, 0.05)),
        warp=(draw_waves((70, 160), 3.0, generator), draw_waves((70, 160), 3.0, generator)),
        texture=(
            draw_waves((7, 16), 1.0, generator, count=40),
            draw_waves((8, 50), 1.0, generator, count=20),
            draw_waves((9, 22), 1.0, generator, count=30),
            draw_waves((180, 400), 1.0, generator, count=6),
            draw_waves((35, 80), 1.0, generator),
        ),
        direction=_draw_direction(generator),
        centre_mm=np.array([-25.0, 10.0, 0.0]) + generator.normal(0, 8, 3),
    )


@dataclass(frozen=True)
class Space:
    """Where every voxel lies, bent and turned; all `(X, Y, Z)` or broadcasting to it, mm and rad.

    Attributes:
        x: In the chest.
        y: In the chest.
        z: From the middle of the left ventricle to the apex.
        heart_x: In the heart's own frame.
        heart_y: In the heart's own frame.
        radius: From the axis of the left ventricle.
        angle: Around that axis, 0 at the lateral wall.
        textures: The person's texture fields.
    """

    x: FloatArray
    y: FloatArray
    z: FloatArray
    heart_x: FloatArray
    heart_y: FloatArray
    radius: FloatArray
    angle: FloatArray
    textures: tuple[FloatArray, ...]


def person_space(person: Person, axes: tuple[FloatArray, FloatArray, FloatArray]) -> Space:
    """Place a grid in a person: bend it, then turn it into the frame of the heart."""
    z = axes[2][None, None, :]
    x = axes[0][:, None, None] + field(person.warp[0], *axes)
    y = axes[1][None, :, None] + field(person.warp[1], *axes)
    heart_x, heart_y = rotated(
        x - np.float32(person.tilt[0]) * z, y - np.float32(person.tilt[1]) * z, person.heart_degrees
    )
    return Space(
        x=x,
        y=y,
        z=z,
        heart_x=heart_x,
        heart_y=heart_y,
        radius=np.hypot(heart_x, heart_y),
        angle=np.arctan2(heart_y, heart_x),
        textures=tuple(field(waves, *axes) for waves in person.texture),
    )
