"""Multi-vendor short-axis cine MR: labels 1 left cavity, 2 myocardium, 3 right cavity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import AnyArray, FloatArray
from crisp_core.numerics.phantom.case import (
    PhantomCase,
    axis_mm,
    grid_affine,
    patient_generator,
    store_as,
)
from crisp_core.numerics.phantom.heart import CONDITIONS, Heart, contracted
from crisp_core.numerics.phantom.imaging import acquired_window, magnitude_image
from crisp_core.numerics.phantom.person import Person, Space, draw_person, person_space
from crisp_core.numerics.phantom.scanners import SCANNERS, Scanner, tissue_signals
from crisp_core.numerics.phantom.thorax import Thorax, paint_thorax
from crisp_core.numerics.phantom.ventricles import (
    cavity_blood,
    label_heart,
    paint_heart,
    ventricles,
)

SUBSLICES = 3
BRIGHT = 1.4
VIEW_RADIUS = 1.03
STORED_MAXIMUM = 32767


@dataclass(frozen=True)
class Exam:
    """One person in one scanner; both phases share it.

    Attributes:
        scanner: The machine.
        person: Who lies in it.
        space: Where every voxel of the thin slices lies.
        chest: Signal of everything but the heart, float32 `(X, Y, SUBSLICES * Z)`.
        shading: Sensitivity of the coil, like `chest`.
    """

    scanner: Scanner
    person: Person
    space: Space
    chest: FloatArray
    shading: FloatArray


def coil_shading(space: Space, thorax: Thorax, strength: float) -> FloatArray:
    """Return the sensitivity of the surface coil: it falls off from the breastbone, 1 mid-heart."""
    towards = math.radians(thorax.anterior_degrees)
    front_mm = space.x * math.cos(towards) + space.y * math.sin(towards)
    shading = np.exp(strength * (front_mm / 75 + 0.25 * space.textures[3]))
    return np.asarray(shading / (1 + 0.25 * strength * (shading - 1)), np.float32)


def ghosted(signal: FloatArray, blood: FloatArray, strength: float) -> FloatArray:
    """Add faint copies of the pulsating blood along the phase-encoding axis y."""
    step = signal.shape[1] // 3
    copies = np.roll(blood, step, axis=1) + np.roll(blood, -step, axis=1)
    return np.asarray(signal + np.float32(strength) * copies, np.float32)


def stored_values(
    magnitude: FloatArray, scanner: Scanner, *, generator: np.random.Generator
) -> AnyArray:
    """Map a magnitude to the int16 that this vendor stores; the gain differs by scan."""
    gain = scanner.full_scale * generator.uniform(0.8, 1.25)
    value = gain * (magnitude / BRIGHT) ** scanner.gamma
    if scanner.round_view:
        x, y = (np.linspace(-1, 1, count) for count in value.shape[:2])
        value *= (np.hypot(x[:, None], y[None, :]) < VIEW_RADIUS)[:, :, None]
    return np.asarray(np.clip(np.rint(value), 0, STORED_MAXIMUM), np.int16)


def thick_slices(volume: FloatArray) -> FloatArray:
    """Average the thin slices of each thick one: partial volume."""
    mean = volume.reshape(*volume.shape[:2], -1, SUBSLICES).mean(axis=3)
    return np.asarray(mean, np.float32)


def examine_person(
    person: Person, scanner: Scanner, axes: tuple[FloatArray, FloatArray, FloatArray]
) -> Exam:
    """Place a person in a scanner and paint what the heartbeat does not change."""
    thin = axis_mm(SUBSLICES, scanner.slice_mm / SUBSLICES)
    space = person_space(person, (axes[0], axes[1], (axes[2][:, None] + thin).ravel()))
    chest = np.empty(space.x.shape, np.float32)
    place = (space.x, space.y, space.z)
    paint_thorax(chest, person.thorax, place, space.textures, tissue_signals(scanner))
    return Exam(scanner, person, space, chest, coil_shading(space, person.thorax, scanner.coil))


def phase_volumes(
    exam: Exam, heart: Heart, *, generator: np.random.Generator
) -> tuple[AnyArray, AnyArray]:
    """Return the int16 image and the uint8 labels of one phase, `(X, Y, Z)` each."""
    scanner, signal = exam.scanner, tissue_signals(exam.scanner)
    parts = ventricles(heart, exam.space)
    canvas = exam.chest.copy()
    paint_heart(canvas, heart, parts, exam.space, exam.person.thorax.pericardial_mm, signal)
    canvas *= (1 + np.float32(0.05) * exam.space.textures[1]) * exam.shading
    blood = thick_slices(signal["blood"] * cavity_blood(parts))
    window = acquired_window(blood.shape[:2], scanner.kept)
    noise_sd = scanner.noise * signal["blood"]
    shown = ghosted(thick_slices(canvas), blood, scanner.ghost)
    picture = magnitude_image(shown, window, noise_sd, generator=generator)
    image = stored_values(picture, scanner, generator=generator)
    return image, label_heart(parts)[:, :, SUBSLICES // 2 :: SUBSLICES]


def slice_axes(
    scanner: Scanner, heart: Heart, size: int | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the voxel centres along x, y and z, mm from the middle of the left ventricle.

    `size` sets the longer side of the matrix; the field of view stays, the spacing grows. The
    slices reach from above the base to beyond the apex.
    """
    scale = 1.0 if size is None else size / max(scanner.matrix)
    x, y = (axis_mm(round(n * scale), scanner.spacing_mm / scale) for n in scanner.matrix)
    pitch = scanner.slice_mm + scanner.gap_mm
    count = math.ceil((heart.length_mm + 16) / pitch)
    return x, y, (heart.base_mm + (np.arange(count) - 0.6) * pitch).astype(np.float32)


def cardiac_patient(
    site: str, index: int, *, seed: int, size: int | None = None
) -> tuple[PhantomCase, PhantomCase]:
    """Make one patient of a site: the end of diastole and the end of systole.

    Args:
        site: A key of `SCANNERS`.
        index: Which patient, from 0; every patient is drawn on its own.
        seed: Of the cohort.
        size: Pixels along the longer side of a slice; None is what the vendor does.
    """
    generator = patient_generator(seed, "cardiac", site, index)
    group = tuple(CONDITIONS)[index % len(CONDITIONS)]
    scanner, person = SCANNERS[site], draw_person(group, generator)
    x, y, z = slice_axes(scanner, person.heart, size)
    shift = generator.uniform(-10, 18, 2).astype(np.float32)
    axes = (x + shift[0], y + shift[1], z)
    exam = examine_person(person, scanner, axes)
    affine = grid_affine(axes, person.direction, person.centre_mm)
    patient = f"{site[-1]}{index + 1:03d}"

    def phase_case(phase: str, heart: Heart) -> PhantomCase:
        image, label = phase_volumes(exam, heart, generator=generator)
        case = PhantomCase(f"{patient}_{phase}", patient, group, phase, image, label, affine)
        return store_as(case, scanner.order, scanner.signs)

    squeezed = contracted(person.heart, CONDITIONS[group].ejection)
    return phase_case("ED", person.heart), phase_case("ES", squeezed)
