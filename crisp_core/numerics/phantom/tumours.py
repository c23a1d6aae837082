"""Axial FLAIR of brain tumours at four hospitals: labels 1 tumour core, 2 oedema."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import AnyArray, FloatArray
from crisp_core.numerics.phantom.brain import (
    Brain,
    brain_space,
    draw_brain,
    label_brain,
    paint_brain,
)
from crisp_core.numerics.phantom.case import (
    PhantomCase,
    axis_mm,
    grid_affine,
    patient_generator,
    store_as,
)
from crisp_core.numerics.phantom.imaging import (
    Tissue,
    acquired_window,
    inversion_signal,
    magnitude_image,
)
from crisp_core.numerics.phantom.waves import Waves, draw_waves, field

GROUPS = ("necrotic", "solid")
SLAB_MM = 84.0
STORED_MAXIMUM = 32767

# Grey and white matter: Stanisz et al., MRM 54, 2005. Fluid and tumour: for the picture.
LESIONS = {
    "fluid": Tissue(1.0, 4000, 1500),
    "oedema": Tissue(0.85, 1750, 150),
    "tumour": Tissue(0.82, 1500, 115),
    "necrosis": Tissue(0.95, 2900, 260),
}
TISSUES_1T5 = {
    **LESIONS,
    "oedema": Tissue(0.85, 1300, 160),
    "tumour": Tissue(0.82, 1150, 120),
    "grey": Tissue(0.76, 1124, 95),
    "white": Tissue(0.70, 884, 72),
}
TISSUES_3T = {**LESIONS, "grey": Tissue(0.80, 1820, 99), "white": Tissue(0.70, 1084, 69)}


@dataclass(frozen=True)
class FlairProtocol:
    """One hospital's machine and sequence.

    Attributes:
        tissues: Relaxation at its field strength.
        repetition_ms: Repetition time.
        inversion_ms: Inversion time; it nulls fluid.
        echo_ms: Echo time: longer makes lesions brighter.
        matrix: Pixels along x and y.
        spacing_mm: In-plane spacing.
        slice_mm: Distance of the slices.
        kept: Acquired share of k-space.
        noise: Noise standard deviation, share of white matter.
        bias: Strength of the coil's shading, in logarithms.
        gamma: Exponent of the intensity scale.
        full_scale: Stored value of white matter.
        signs: Stored axis directions, see `store_as`.
    """

    tissues: dict[str, Tissue]
    repetition_ms: float
    inversion_ms: float
    echo_ms: float
    matrix: tuple[int, int]
    spacing_mm: float
    slice_mm: float
    kept: tuple[float, float]
    noise: float
    bias: float
    gamma: float
    full_scale: float
    signs: tuple[int, int, int]


HOSPITALS = {
    "hospital-1": FlairProtocol(
        tissues=TISSUES_3T, repetition_ms=9000, inversion_ms=2500, echo_ms=120, matrix=(144, 176),
        spacing_mm=1.1, slice_mm=4.0, kept=(0.95, 0.85), noise=0.05, bias=0.08, gamma=1.0,
        full_scale=350, signs=(-1, -1, 1),
    ),
    "hospital-2": FlairProtocol(
        tissues=TISSUES_1T5, repetition_ms=8000, inversion_ms=2200, echo_ms=105, matrix=(128, 160),
        spacing_mm=1.2, slice_mm=5.0, kept=(0.8, 0.7), noise=0.09, bias=0.15, gamma=0.9,
        full_scale=900, signs=(-1, 1, 1),
    ),
    "hospital-3": FlairProtocol(
        tissues=TISSUES_3T, repetition_ms=6000, inversion_ms=2000, echo_ms=140, matrix=(160, 192),
        spacing_mm=1.0, slice_mm=3.5, kept=(0.85, 0.8), noise=0.14, bias=0.3, gamma=1.2,
        full_scale=160, signs=(1, 1, 1),
    ),
    "hospital-4": FlairProtocol(
        tissues=TISSUES_1T5, repetition_ms=7000, inversion_ms=2050, echo_ms=85, matrix=(112, 136),
        spacing_mm=1.4, slice_mm=6.0, kept=(0.65, 0.6), noise=0.12, bias=0.3, gamma=0.7,
        full_scale=2200, signs=(1, -1, -1),
    ),
}  # fmt: skip


def tissue_signals(protocol: FlairProtocol) -> dict[str, float]:
    """Return each tissue's signal, white matter being 1."""
    times_ms = (protocol.repetition_ms, protocol.inversion_ms, protocol.echo_ms)
    raw = {name: inversion_signal(t, *times_ms) for name, t in protocol.tissues.items()}
    return {name: value / raw["white"] for name, value in raw.items()}


def flair_volumes(
    brain: Brain,
    protocol: FlairProtocol,
    axes: tuple[FloatArray, FloatArray, FloatArray],
    coil: Waves,
    *,
    generator: np.random.Generator,
) -> tuple[AnyArray, AnyArray]:
    """Return the int16 image and the uint8 labels of one brain, `(X, Y, Z)` each."""
    space, signal = brain_space(brain, axes), tissue_signals(protocol)
    canvas = np.empty(space.pia.shape, np.float32)
    texture = (field(brain.texture[0], *axes), field(brain.texture[1], *axes))
    paint_brain(canvas, brain, space, texture, signal)
    canvas *= np.exp(protocol.bias * field(coil, *axes))
    window = acquired_window((axes[0].size, axes[1].size), protocol.kept)
    picture = magnitude_image(canvas, window, protocol.noise, generator=generator)
    stripped = picture * (space.surface < 3)  # noqa: PLR2004 - skull stripping leaves a rim
    gain = protocol.full_scale * generator.uniform(0.8, 1.25)
    image = np.clip(np.rint(gain * stripped**protocol.gamma), 0, STORED_MAXIMUM)
    return image.astype(np.int16), label_brain(space)


def tumour_patient(
    site: str, index: int, *, seed: int, size: int | None = None
) -> tuple[PhantomCase, ...]:
    """Make one patient of a site.

    Args:
        site: A key of `HOSPITALS`.
        index: Which patient, from 0; every patient is drawn on its own.
        seed: Of the cohort.
        size: Pixels along y, the longer side; None is what the hospital does.
    """
    generator = patient_generator(seed, "brain", site, index)
    protocol, group = HOSPITALS[site], GROUPS[index % len(GROUPS)]
    brain = draw_brain(group, generator)
    coil = draw_waves((180, 420), 1.0, generator, count=6)
    scale = 1.0 if size is None else size / protocol.matrix[1]
    x, y = (axis_mm(round(n * scale), protocol.spacing_mm / scale) for n in protocol.matrix)
    z = axis_mm(round(SLAB_MM / protocol.slice_mm), protocol.slice_mm) + np.float32(22)
    image, label = flair_volumes(brain, protocol, (x, y, z), coil, generator=generator)
    affine = grid_affine((x, y, z), np.eye(3), generator.normal(0, 5, 3))
    patient = f"h{site[-1]}{index + 1:03d}"
    case = PhantomCase(patient, patient, group, "", image, label, affine)
    return (store_as(case, (0, 1, 2), protocol.signs),)
