"""Lung vessels in CT, with and without contrast agent or COVID-like lesions: label 1 vessel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import FloatArray
from crisp_core.numerics.phantom.case import (
    PhantomCase,
    axis_mm,
    grid_affine,
    patient_generator,
    store_as,
)
from crisp_core.numerics.phantom.chest import (
    SIDES,
    Chest,
    ChestSpace,
    draw_chest,
    fissure_distance,
    heart_distance,
    lung_distance,
    paint_body,
    paint_mediastinum,
)
from crisp_core.numerics.phantom.imaging import tomography_noise
from crisp_core.numerics.phantom.shapes import paint
from crisp_core.numerics.phantom.tree import Tree, tube_distance
from crisp_core.numerics.phantom.waves import field

BLOOD_HU, AIR_HU, LUNG_HU = 42.0, -990.0, -860.0
VOXEL_MM = 1.7
REACH_MM = 6.0


@dataclass(frozen=True)
class Protocol:
    """How one hospital scans, and whom.

    Attributes:
        artery_hu: Of pulmonary arteries; plain blood is 42.
        vein_hu: Of pulmonary veins.
        noise_hu: Standard deviation of the noise.
        sharpness: Of the reconstruction kernel, 0 soft to 1 sharp: grain of the noise, and edges.
        spacing_mm: In-plane spacing.
        slice_mm: Distance of the slices.
        matrix: Pixels along x and y.
        breath_hu: Added to the lung: a shallow breath is denser.
        infected: The patients have COVID-like lesions.
        signs: Stored axis directions, see `store_as`.
    """

    artery_hu: float
    vein_hu: float
    noise_hu: float
    sharpness: float
    spacing_mm: float
    slice_mm: float
    matrix: tuple[int, int]
    breath_hu: float
    infected: bool
    signs: tuple[int, int, int]


PROTOCOLS = {
    "contrast-1": Protocol(360, 300, 28, 0.3, 1.75, 2.5, (176, 144), 0, False, (-1, -1, 1)),
    "contrast-2": Protocol(290, 330, 45, 0.8, 1.9, 3.0, (160, 136), 30, False, (-1, 1, 1)),
    "plain-1": Protocol(42, 42, 30, 0.4, 1.8, 2.5, (168, 144), 20, False, (1, 1, 1)),
    "plain-2": Protocol(40, 40, 70, 0.9, 1.75, 3.0, (176, 144), 60, False, (-1, -1, -1)),
    "normal-1": Protocol(42, 42, 26, 0.3, 1.75, 2.5, (176, 144), 0, False, (-1, -1, 1)),
    "normal-2": Protocol(44, 44, 45, 0.8, 1.85, 3.0, (164, 140), 30, False, (1, -1, 1)),
    "covid-1": Protocol(42, 42, 38, 0.5, 1.8, 2.5, (168, 144), 70, True, (-1, 1, 1)),
}
SLICE_COUNT = 28


def chest_space(chest: Chest, axes: tuple[FloatArray, FloatArray, FloatArray]) -> ChestSpace:
    """Place a grid in a person: bend it and measure it against the lungs."""
    x, y, z = (
        axis.reshape([-1 if i == j else 1 for j in range(3)]) + field(chest.warp[i], *axes)
        for i, axis in enumerate(axes)
    )
    lungs = np.minimum(*(lung_distance(x, y, z, chest.scale, side) for side in SIDES))
    lung = np.maximum(lungs, 3 - heart_distance(x, y, z, chest.heart_mm))
    return ChestSpace(x, y, z, np.asarray(lung, np.float32))


def lesion_strength(space: ChestSpace, lesion: FloatArray, extent: float) -> FloatArray:
    """Return how ill each voxel is: 0 healthy, towards 0.5 ground glass, towards 1 consolidated.

    Lesions like the rind and the back of the lung.

    Args:
        space: Of the chest.
        lesion: A field of unit variance with the size of lesions.
        extent: From about -0.5 (few patches) to 0.5 (many).

    Source:
        Bernheim et al., "Chest CT findings in coronavirus disease-19", Radiology 295, 2020:
        peripheral ground-glass opacity and consolidation, mostly of the lower, posterior lung.
    """
    rind = np.exp(np.minimum(space.lung, 0) / 16)
    back = -space.y / 90
    strength = 0.45 * (lesion + 1.5 * rind + 0.8 * back - 1.4 + extent)
    return np.asarray(np.clip(strength, 0, 1), np.float32)


def paint_lungs(
    hounsfield: FloatArray, chest: Chest, space: ChestSpace, tissue: FloatArray, breath_hu: float
) -> None:
    """Paint lung tissue (denser towards the back, where the person lies) and fissures, HU."""
    tone = LUNG_HU + breath_hu + 22 * tissue - 0.35 * space.y
    paint(hounsfield, space.lung, tone, VOXEL_MM)
    fissure = np.maximum(fissure_distance(space, chest), space.lung)
    paint(hounsfield, fissure, -650, VOXEL_MM)


def paint_lesions(
    hounsfield: FloatArray, space: ChestSpace, strength: FloatArray, tissue: FloatArray
) -> None:
    """Paint ground glass with its paving, and consolidation, inside the lung, HU."""
    inside = np.clip(0.5 - space.lung / VOXEL_MM, 0, 1)
    glass = np.clip(strength / 0.15, 0, 1) * (300 + 60 * tissue)
    solid = np.clip((strength - 0.55) / 0.15, 0, 1)
    hounsfield += inside * glass
    hounsfield += inside * solid * (15 + 20 * tissue - hounsfield)


def _tubes(trees: tuple[Tree, ...], axes: tuple[FloatArray, FloatArray, FloatArray]) -> FloatArray:
    """Return the distance to the nearest of several trees."""
    distances = [tube_distance(tree, axes, REACH_MM) for tree in trees]
    return np.asarray(np.minimum.reduce(distances), np.float32)


def chest_volume(
    chest: Chest, protocol: Protocol, axes: tuple[FloatArray, FloatArray, FloatArray], extent: float
) -> tuple[FloatArray, FloatArray]:
    """Return the noiseless volume, HU, and the distance to the lung's vessels, mm."""
    space = chest_space(chest, axes)
    tissue, soft, lesion = (field(waves, *axes) for waves in chest.texture)
    hounsfield = np.empty(tissue.shape, np.float32)
    paint_body(hounsfield, chest, space, soft)
    paint_mediastinum(hounsfield, chest, space, 0.5 * (protocol.artery_hu + protocol.vein_hu))
    paint_lungs(hounsfield, chest, space, tissue, protocol.breath_hu)
    if protocol.infected:
        paint_lesions(hounsfield, space, lesion_strength(space, lesion, extent), tissue)
    airways = _tubes(chest.airways, axes)
    paint(hounsfield, airways - 1.2, -150, VOXEL_MM)
    vessels = np.full(tissue.shape, REACH_MM, np.float32)
    for trees, blood_hu in ((chest.veins, protocol.vein_hu), (chest.arteries, protocol.artery_hu)):
        tubes = _tubes(trees, axes)
        paint(hounsfield, tubes, blood_hu, VOXEL_MM)
        np.minimum(vessels, tubes, out=vessels)
    paint(hounsfield, airways, AIR_HU, VOXEL_MM)
    return hounsfield, np.maximum(np.maximum(vessels, space.lung), -airways)


def vessel_patient(
    site: str, index: int, *, seed: int, size: int | None = None
) -> tuple[PhantomCase, ...]:
    """Make one patient of a site: one CT slab around the roots of the lungs.

    Args:
        site: A key of `PROTOCOLS`.
        index: Which patient, from 0; every patient is drawn on its own.
        seed: Of the cohort.
        size: Pixels along x; None is what the hospital does. The field of view stays.
    """
    generator = patient_generator(seed, "vessel", site, index)
    protocol, chest = PROTOCOLS[site], draw_chest(generator)
    scale = 1.0 if size is None else size / protocol.matrix[0]
    shift = generator.uniform(-6, 6, 3)
    x, y = (axis_mm(round(n * scale), protocol.spacing_mm / scale) for n in protocol.matrix)
    z = axis_mm(SLICE_COUNT, protocol.slice_mm) - 14
    axes = tuple(
        (axis + step).astype(np.float32) for axis, step in zip((x, y, z), shift, strict=True)
    )
    clean, vessels = chest_volume(chest, protocol, axes, generator.uniform(-0.4, 0.5))
    noise = tomography_noise(
        clean.shape, protocol.noise_hu, protocol.sharpness, generator=generator
    )
    patient = f"{site[0]}{site[-1]}{index + 1:03d}"
    case = PhantomCase(
        case_id=patient,
        patient_id=patient,
        group=site.partition("-")[0],
        phase="",
        image=np.clip(np.rint(clean + noise), -1024, 3071).astype(np.int16),
        label=(vessels < 0).astype(np.uint8),
        affine=grid_affine(axes, np.eye(3), generator.normal(0, 15, 3)),
    )
    return (store_as(case, (0, 1, 2), protocol.signs),)
