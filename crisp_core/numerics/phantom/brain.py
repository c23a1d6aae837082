"""The brain of one person with a tumour: folds, ventricles, deep grey matter, core and oedema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import AnyArray, FloatArray
from crisp_core.numerics.phantom.shapes import paint
from crisp_core.numerics.phantom.waves import Waves, draw_waves, field

CORE, OEDEMA = 1, 2
EDGE_MM = 1.3


@dataclass(frozen=True)
class Brain:
    """One person's brain, in RAS mm around the middle of the lateral ventricles.

    Attributes:
        half_mm: Half axes of the brain.
        ventricle: Factor on the size of the ventricles.
        tumour_mm: Middle of the tumour.
        tumour_half_mm: Half axes of the tumour's core.
        rim_mm: Thickness of the enhancing rim; beyond the half axes the core is solid.
        oedema_mm: How far oedema reaches beyond the core, on average.
        folds: The field whose zeros are the sulci, unit variance.
        warp: Three fields that bend the brain, mm.
        lumps: Shape of the core and of the oedema, unit variance.
        texture: Fine and coarse unevenness of tissue, unit variance.
    """

    half_mm: tuple[float, float, float]
    ventricle: float
    tumour_mm: tuple[float, float, float]
    tumour_half_mm: tuple[float, float, float]
    rim_mm: float
    oedema_mm: float
    folds: Waves
    warp: tuple[Waves, Waves, Waves]
    lumps: tuple[Waves, Waves]
    texture: tuple[Waves, Waves]


def draw_brain(group: str, generator: np.random.Generator) -> Brain:
    """Draw one person; the tumour of group "necrotic" has a dark middle, that of "solid" none."""
    scale = generator.uniform(0.93, 1.06, 3).tolist()
    side = 1 if generator.uniform() < 0.5 else -1  # noqa: PLR2004 - a coin
    size = generator.uniform(10, 21)
    return Brain(
        half_mm=(67 * scale[0], 83 * scale[1], 66 * scale[2]),
        ventricle=generator.uniform(0.75, 1.4),
        tumour_mm=(
            side * generator.uniform(26, 40),
            generator.uniform(-42, 38),
            generator.uniform(8, 38),
        ),
        tumour_half_mm=(
            size * generator.uniform(0.8, 1.25),
            size * generator.uniform(0.8, 1.25),
            size * generator.uniform(0.8, 1.25),
        ),
        rim_mm=generator.uniform(3, 5.5) if group == "necrotic" else 99.0,
        oedema_mm=generator.uniform(8, 17),
        folds=draw_waves((13, 22), 1.0, generator, count=48),
        warp=(
            draw_waves((60, 140), 2.2, generator),
            draw_waves((60, 140), 2.2, generator),
            draw_waves((60, 140), 2.2, generator),
        ),
        lumps=(
            draw_waves((14, 45), 1.0, generator, count=16),
            draw_waves((18, 60), 1.0, generator, count=16),
        ),
        texture=(
            draw_waves((3, 9), 1.0, generator, count=32),
            draw_waves((12, 50), 1.0, generator, count=16),
        ),
    )


@dataclass(frozen=True)
class BrainSpace:
    """Signed distances, mm, negative inside, `(X, Y, Z)` each.

    Attributes:
        surface: To the smooth envelope of the brain.
        pia: To the folded surface: sulci and the fissure between the halves are outside.
        ventricles: To the ventricles.
        deep: To the deep grey matter.
        core: To the tumour core.
        oedema: To the oedema; it spares cortex and ventricles. The core lies inside its outline.
    """

    surface: FloatArray
    pia: FloatArray
    ventricles: FloatArray
    deep: FloatArray
    core: FloatArray
    oedema: FloatArray


def _ball(
    place: tuple[FloatArray, FloatArray, FloatArray],
    centre_mm: tuple[float, float, float],
    half_mm: tuple[float, float, float],
) -> FloatArray:
    """Return the signed distance to an ellipsoid, to first order."""
    offset = [axis - middle for axis, middle in zip(place, centre_mm, strict=True)]
    level = np.sqrt(sum((o / h) ** 2 for o, h in zip(offset, half_mm, strict=True))) + 1e-6
    radius = np.sqrt(sum(o**2 for o in offset))
    return np.asarray(radius * (1 - 1 / level), np.float32)


def _pushed(
    place: tuple[FloatArray, FloatArray, FloatArray], brain: Brain
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return where each voxel was before the tumour pushed its surroundings away."""
    offset = [axis - middle for axis, middle in zip(place, brain.tumour_mm, strict=True)]
    size2 = 2.5 / 3 * sum(half**2 for half in brain.tumour_half_mm)
    keep = 1 - 0.45 * np.exp(-sum(o**2 for o in offset) / size2)
    x, y, z = (m + o * keep for m, o in zip(brain.tumour_mm, offset, strict=True))
    return x, y, z


def _pia(
    place: tuple[FloatArray, FloatArray, FloatArray], surface: FloatArray, folds: FloatArray
) -> FloatArray:
    """Cut sulci and the fissure between the halves out of the smooth envelope."""
    x, y, z = place
    depth = -surface
    sulcus = np.abs(folds) * 2.7 - 0.8 + np.maximum(depth - 16, 0) * 0.35
    callosum = np.maximum(np.abs(y) - 44, np.abs(z - 8) - 17)
    fissure = np.maximum(np.abs(x) - 1.1, -callosum)
    return np.asarray(np.maximum(surface, -np.minimum(sulcus, fissure)), np.float32)


def _ventricles(place: tuple[FloatArray, FloatArray, FloatArray], factor: float) -> FloatArray:
    """Return the distance to both lateral ventricles and the third one."""
    x, y, z = place
    bent = np.abs(x) - 8.5 - 0.004 * (y + 5) ** 2
    lateral = _ball((bent, y, z), (0, -4, 9), (5.0 * factor, 42, 9.5 * factor))
    third = _ball((x, y, z), (0, -4, -6), (2.2 * factor, 14, 9))
    return np.minimum(lateral, third)


def _deep_grey(place: tuple[FloatArray, FloatArray, FloatArray]) -> FloatArray:
    """Return the distance to thalamus, caudate and putamen of both sides."""
    mirrored = (np.abs(place[0]), place[1], place[2])
    thalamus = _ball(mirrored, (11, -12, -2), (8, 13, 9))
    caudate = _ball(mirrored, (15, 18, 4), (4.5, 11, 10))
    putamen = _ball(mirrored, (26, 6, -2), (5, 17, 10))
    return np.minimum(np.minimum(thalamus, caudate), putamen)


def brain_space(brain: Brain, axes: tuple[FloatArray, FloatArray, FloatArray]) -> BrainSpace:
    """Measure every voxel of a grid against a brain."""
    x, y, z = (
        axis.reshape([-1 if i == j else 1 for j in range(3)]) + field(brain.warp[i], *axes)
        for i, axis in enumerate(axes)
    )
    before = _pushed((x, y, z), brain)
    surface = _ball((x, y, z), (0, 0, 4), brain.half_mm)
    pia = _pia(before, surface, field(brain.folds, *axes))
    ventricles = _ventricles(before, brain.ventricle)
    lump, spread = (field(waves, *axes) for waves in brain.lumps)
    tumour = _ball((x, y, z), brain.tumour_mm, brain.tumour_half_mm) + 2.2 * lump
    core = np.maximum(np.maximum(tumour, surface + 3), -ventricles)
    reach = brain.oedema_mm * np.clip(1 + 0.55 * spread, 0, None)
    spared = np.maximum(pia + 2.4, 1.5 - ventricles)
    oedema = np.maximum(tumour - reach, spared)
    return BrainSpace(surface, pia, ventricles, _deep_grey(before), core, oedema)


def label_brain(space: BrainSpace) -> AnyArray:
    """Return uint8 labels: 1 tumour core, 2 oedema around it."""
    label = np.where(space.oedema < 0, OEDEMA, 0)
    return np.where(space.core < 0, CORE, label).astype(np.uint8)


def paint_brain(
    canvas: FloatArray,
    brain: Brain,
    space: BrainSpace,
    texture: tuple[FloatArray, FloatArray],
    signal: Mapping[str, float],
) -> None:
    """Paint all tissue of a brain without its skull, in place; outside is zero."""
    fine, coarse = texture
    canvas[...] = 0
    paint(canvas, space.surface - 1.5, signal["fluid"], EDGE_MM)
    paint(canvas, space.pia, signal["grey"] * (1 + 0.03 * fine), EDGE_MM)
    paint(canvas, space.pia + 3.0, signal["white"] * (1 + 0.03 * coarse), 2 * EDGE_MM)
    paint(canvas, space.deep, 0.97 * signal["grey"], 2 * EDGE_MM)
    paint(canvas, space.ventricles - 1.2, 1.12 * signal["grey"], EDGE_MM)
    paint(canvas, space.ventricles, signal["fluid"], EDGE_MM)
    paint(canvas, space.oedema, signal["oedema"] * (1 + 0.07 * coarse), 3 * EDGE_MM)
    paint(canvas, space.core, signal["tumour"] * (1 + 0.06 * coarse + 0.04 * fine), 1.5 * EDGE_MM)
    paint(canvas, space.core + brain.rim_mm, signal["necrosis"] * (1 + 0.1 * coarse), 2 * EDGE_MM)
