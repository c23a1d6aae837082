"""Draw one picture a phantom kind: rows are sites, columns patients, beside their contours.

Run `python -m benchmarks.phantom_montage`; the PNG files land in docs/reference/phantoms.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from crisp_core.arrays import AnyArray
from crisp_core.files.phantom_cohort import KINDS
from crisp_core.numerics.phantom.case import PhantomCase

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference" / "phantoms"
COLOURS = ((230, 60, 60), (70, 200, 90), (80, 140, 255))
TILE = (176, 176)
PATIENTS = (0, 1, 2)
LUNG_WINDOW_HU = (-1050.0, 250.0)


def canonical(case: PhantomCase) -> tuple[AnyArray, AnyArray]:
    """Return image and label with the thick axis last and the stored flips undone."""
    steps = np.linalg.norm(case.affine[:3, :3], axis=0)
    thick = int(steps.argmax())
    rows = [axis for axis in range(3) if axis != thick]
    across = [int(np.abs(case.affine[:3, axis]).argmax()) for axis in (*rows, thick)]
    order = (*[axis for _, axis in sorted(zip(across[:2], rows, strict=True))], thick)
    flips = [
        new
        for new, old in enumerate(order)
        if case.affine[int(np.abs(case.affine[:3, old]).argmax()), old] > 0
    ]
    image, label = (np.flip(a.transpose(order), tuple(flips)) for a in (case.image, case.label))
    return image, label


def inner(structure: AnyArray) -> AnyArray:
    """Return the pixels of a structure whose four neighbours belong to it too."""
    rows = np.roll(structure, 1, axis=0) & np.roll(structure, -1, axis=0)
    return structure & rows & np.roll(structure, 1, axis=1) & np.roll(structure, -1, axis=1)


def outlined(plane: AnyArray, label: AnyArray, low: float, high: float) -> AnyArray:
    """Return the plane in grey, beside it the same with its contours, uint8 `(Y, 2 X, 3)`."""
    grey = (np.clip((plane - low) / (high - low), 0, 1) * 255).astype(np.uint8).T
    picture = np.repeat(np.asarray(Image.fromarray(grey).resize(TILE))[:, :, None], 3, axis=2)
    drawn = picture.copy()
    big = np.asarray(Image.fromarray(label.T).resize(TILE, Image.Resampling.NEAREST))
    for value, colour in enumerate(COLOURS, start=1):
        structure = big == value
        drawn[structure & ~inner(structure)] = colour
    return np.hstack([picture, drawn])


def square(plane: AnyArray) -> AnyArray:
    """Return the plane, padded with its least value to as many rows as columns."""
    missing = [max(plane.shape) - count for count in plane.shape]
    before_after = [(count // 2, count - count // 2) for count in missing]
    return np.pad(plane, before_after, constant_values=plane.min())


def tile(case: PhantomCase) -> AnyArray:
    """Draw the slice with most label of a case."""
    image, label = canonical(case)
    z = int((label > 0).sum((0, 1)).argmax())
    low, high = (0.0, float(np.percentile(image, 99.3)))
    if image.min() < 0:
        low, high = LUNG_WINDOW_HU
    return outlined(square(image[:, :, z]), square(label[:, :, z]), low, high)


def montage(kind: str) -> Image.Image:
    """Draw a kind: a row a site, a pair of pictures a patient."""
    chosen = KINDS[kind]
    rows = [
        np.hstack([tile(next(iter(chosen.patient(site, index, seed=0)))) for index in PATIENTS])
        for site in chosen.sites
    ]
    return Image.fromarray(np.vstack(rows))


def main() -> None:
    """Write every picture and print its size."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        path = FOLDER / f"{kind}.png"
        montage(kind).quantize(255).save(path, optimize=True)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
