"""Time hd95 against medpy's on heart-like pairs: `python -m benchmarks.hd95_speed`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from medpy.metric.binary import hd95 as medpy_hd95  # type: ignore[import-untyped]  # no stubs

from benchmarks.findings import Findings, cpu_seconds, median, publish
from crisp_core.arrays import BoolArray, FloatArray
from crisp_core.numerics.metrics import hd95

CENTRE_MM = np.array([60.0, 180.0, 180.0])
LV_RADII_MM = np.array([42.0, 24.0, 24.0])
WALL_MM = 9.0
RV_RADII_MM = np.array([38.0, 30.0, 34.0])
RV_OFFSET_MM = np.array([0.0, -8.0, -36.0])
SHIFT_MM = np.array([0.0, 1.5, -1.0])
GROWTH = 1.03


@dataclass(frozen=True)
class Grid:
    """A volume: voxels, their spacing, how often it is timed and the ratio that is wanted."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    repeats: int
    target: float


GRIDS = (
    Grid((12, 256, 256), (10.0, 1.4, 1.4), repeats=9, target=10),
    Grid((120, 512, 512), (1.0, 0.7, 0.7), repeats=1, target=50),
)


def ellipsoid(grid: Grid, centre_mm: FloatArray, radii_mm: FloatArray) -> BoolArray:
    """Fill an ellipsoid; bool, the grid's shape."""
    places = np.ogrid[tuple(slice(count) for count in grid.shape)]
    scaled = zip(places, grid.spacing_mm, centre_mm, radii_mm, strict=True)
    inside = sum(((place * step - middle) / radius) ** 2 for place, step, middle, radius in scaled)
    return np.asarray(inside <= 1)


def heart(grid: Grid, shift_mm: FloatArray, growth: float) -> dict[str, BoolArray]:
    """Draw a left ventricle, its wall and a right ventricle beside it."""
    centre = CENTRE_MM + shift_mm
    inner = ellipsoid(grid, centre, LV_RADII_MM * growth)
    outer = ellipsoid(grid, centre, (LV_RADII_MM + WALL_MM) * growth)
    right = ellipsoid(grid, centre + RV_OFFSET_MM, RV_RADII_MM * growth)
    return {"LV": inner, "MYO": outer & ~inner, "RV": right & ~outer}


def pairs(grid: Grid) -> dict[str, tuple[BoolArray, BoolArray]]:
    """Return prediction and reference of each structure, and of the unfavourable case."""
    reference = heart(grid, 0 * SHIFT_MM, 1.0)
    prediction = heart(grid, SHIFT_MM, GROWTH)
    found = {name: (prediction[name], reference[name]) for name in reference}
    moved = np.roll(reference["LV"], 1, axis=0)
    return {**found, "LV moved by a slice": (moved, reference["LV"])}


def measured(grid: Grid, name: str, pair: tuple[BoolArray, BoolArray]) -> dict[str, str | float]:
    """Time one pair with both, and see that both say the same."""
    ours, theirs = hd95(*pair, grid.spacing_mm), medpy_hd95(*pair, grid.spacing_mm)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    seconds = cpu_seconds(
        {
            "ours": lambda: hd95(*pair, grid.spacing_mm),
            "medpy": lambda: medpy_hd95(*pair, grid.spacing_mm),
        },
        grid.repeats,
    )
    return {
        "grid": " x ".join(map(str, grid.shape)),
        "structure": name,
        "HD95 in mm": float(ours),
        "ours, ms": 1000 * median(seconds["ours"]),
        "medpy, ms": 1000 * median(seconds["medpy"]),
        "times faster": median(seconds["medpy"] / seconds["ours"]),
        "wanted": grid.target,
    }


def main() -> None:
    """Time every pair on every grid."""
    rows = [measured(grid, name, pair) for grid in GRIDS for name, pair in pairs(grid).items()]
    notes = (
        "Medians over interleaved repeats, in CPU time, after one untimed call of each; values "
        "agree with medpy's to 1e-9.",
        f"Prediction: the reference moved by {SHIFT_MM.tolist()} mm and grown by {GROWTH - 1:.0%}.",
        "The last structure of each grid is the unfavourable case: moved by a whole slice, the "
        "two surfaces share few voxels and nearly every one is searched for.",
    )
    publish(Findings("hd95_speed", "HD95 against medpy", rows, notes))


if __name__ == "__main__":
    main()
