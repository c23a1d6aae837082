"""Four cardiac scanners that do not agree: field strength, sequence, coil, matrix, storage."""

from __future__ import annotations

from dataclasses import dataclass

from crisp_core.numerics.phantom.imaging import Tissue, balanced_signal, spoiled_signal

# T1 and T2: Stanisz et al., MRM 54, 2005 (blood, heart, muscle, liver); de Bazelaire et al.,
# Radiology 230, 2004 (fat, marrow, spleen). Densities of lung and air are for the picture.
TISSUES_1T5 = {
    "blood": Tissue(0.95, 1441, 290),
    "heart": Tissue(0.85, 1030, 40),
    "muscle": Tissue(0.80, 1008, 44),
    "fat": Tissue(0.95, 343, 58),
    "liver": Tissue(0.80, 576, 46),
    "spleen": Tissue(0.85, 1057, 79),
    "marrow": Tissue(0.60, 549, 49),
    "lung": Tissue(0.12, 1200, 60),
    "air": Tissue(0.0, 1000, 100),
}
TISSUES_3T = {
    "blood": Tissue(0.95, 1932, 275),
    "heart": Tissue(0.85, 1471, 47),
    "muscle": Tissue(0.80, 1412, 50),
    "fat": Tissue(0.95, 382, 68),
    "liver": Tissue(0.80, 812, 42),
    "spleen": Tissue(0.85, 1328, 61),
    "marrow": Tissue(0.60, 586, 49),
    "lung": Tissue(0.12, 1300, 50),
    "air": Tissue(0.0, 1000, 100),
}


@dataclass(frozen=True)
class Scanner:
    """One vendor's machine and protocol.

    Attributes:
        tesla: Field strength, 1.5 or 3.
        flip_degrees: Flip angle.
        spoiled: A spoiled gradient echo instead of a balanced one: blood is dark but for inflow.
        inflow: Share of blood that arrives unsaturated in a spoiled sequence.
        matrix: Pixels along x and y.
        spacing_mm: In-plane spacing.
        slice_mm: Slice thickness.
        gap_mm: Gap between slices.
        kept: Acquired share of k-space along x and y.
        noise: Noise standard deviation, share of the blood signal.
        coil: Strength of the surface coil's shading, 0 for corrected.
        gamma: Exponent of the vendor's intensity scale.
        full_scale: Stored value of the brightest tissue.
        ghost: Strength of the blood-flow ghost along y, share of the blood signal.
        round_view: The corners of the picture are blanked.
        order: Stored axis order, see `store_as`.
        signs: Stored axis directions, see `store_as`.
    """

    tesla: float
    flip_degrees: float
    spoiled: bool
    inflow: float
    matrix: tuple[int, int]
    spacing_mm: float
    slice_mm: float
    gap_mm: float
    kept: tuple[float, float]
    noise: float
    coil: float
    gamma: float
    full_scale: float
    ghost: float
    round_view: bool
    order: tuple[int, int, int]
    signs: tuple[int, int, int]


SCANNERS = {
    "vendor-a": Scanner(
        tesla=1.5, flip_degrees=65, spoiled=False, inflow=0, matrix=(144, 144), spacing_mm=1.45,
        slice_mm=8, gap_mm=2, kept=(0.9, 0.75), noise=0.03, coil=0.6, gamma=1.0, full_scale=900,
        ghost=0.03, round_view=False, order=(0, 1, 2), signs=(1, 1, 1),
    ),
    "vendor-b": Scanner(
        tesla=1.5, flip_degrees=50, spoiled=False, inflow=0, matrix=(160, 152), spacing_mm=1.25,
        slice_mm=8, gap_mm=0, kept=(0.85, 0.7), noise=0.025, coil=0.25, gamma=0.85, full_scale=1800,
        ghost=0.02, round_view=False, order=(0, 1, 2), signs=(-1, 1, -1),
    ),
    "vendor-c": Scanner(
        tesla=3.0, flip_degrees=38, spoiled=False, inflow=0, matrix=(160, 160), spacing_mm=1.35,
        slice_mm=6, gap_mm=4, kept=(0.7, 0.6), noise=0.065, coil=1.0, gamma=1.25, full_scale=3200,
        ghost=0.06, round_view=True, order=(1, 0, 2), signs=(1, -1, 1),
    ),
    "vendor-d": Scanner(
        tesla=3.0, flip_degrees=18, spoiled=True, inflow=0.1, matrix=(128, 136), spacing_mm=1.7,
        slice_mm=10, gap_mm=0, kept=(0.75, 0.7), noise=0.07, coil=0.8, gamma=0.8, full_scale=420,
        ghost=0.08, round_view=False, order=(2, 1, 0), signs=(1, 1, -1),
    ),
}  # fmt: skip


def tissue_signals(scanner: Scanner) -> dict[str, float]:
    """Return each tissue's signal, blood of a balanced sequence being 1.

    Spoiled sequences scale to fat, and their blood is a mix of saturated and fresh spins.
    """
    tissues = TISSUES_3T if scanner.tesla > 2 else TISSUES_1T5  # noqa: PLR2004 - between 1.5 and 3
    if not scanner.spoiled:
        raw = {name: balanced_signal(t, scanner.flip_degrees) for name, t in tissues.items()}
        return {name: value / raw["blood"] for name, value in raw.items()}
    raw = {name: spoiled_signal(t, scanner.flip_degrees, 6.0) for name, t in tissues.items()}
    fresh = Tissue(tissues["blood"].density, 1.0, 1.0)
    raw["blood"] *= 1 - scanner.inflow
    raw["blood"] += scanner.inflow * spoiled_signal(fresh, scanner.flip_degrees, 6.0)
    return {name: 1.3 * value / raw["fat"] for name, value in raw.items()}
