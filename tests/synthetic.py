"""Small sites on disk, in the house format, for whoever tests something that reads one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

AFFINE = np.diag([-1.5, -1.5, 8.0, 1.0])
"""Stored as the house reads it: columns to the left, rows to the back, slices upwards."""


def write_volume(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """Write one NIfTI file from an array in the file's axes (x, y[, z[, channel]])."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    path.write_bytes(image.to_bytes()) if path.suffix == ".nii" else nib.save(image, path)
    return path


def blob(shape: Sequence[int], class_count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a noisy int16 image (x, y, z) of nested discs and its uint8 labels 0 to C."""
    rng = np.random.default_rng(seed)
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = np.hypot(x - rng.uniform(-0.2, 0.2), y - rng.uniform(-0.2, 0.2))
    labels = sum(
        (radius < 0.7 * (c + 1) / class_count).astype(np.uint8) for c in range(class_count)
    )
    image = 100 + 300 * (labels / class_count) + rng.normal(0, 15, shape)
    return image.astype(np.int16), labels


def write_site(
    folder: Path,
    cases: Mapping[str, str] | int = 4,
    *,
    shape: Sequence[int] = (24, 20, 3),
    class_count: int = 2,
    seed: int = 0,
) -> Path:
    """Write a site of blobs: images/, labels/ and cases.csv.

    Args:
        folder: Made if absent.
        cases: Patient of each case, or how many cases of one patient each (c0 of p0, c1 of p1 …).
        shape: Of a volume in the file's axes (x, y, z).
        class_count: Nested labels 1 to this, the innermost the largest.
        seed: Case i is drawn from (seed, i).

    Returns:
        `folder`.
    """
    named = {f"c{i}": f"p{i}" for i in range(cases)} if isinstance(cases, int) else cases
    rows = ["case,patient"]
    for number, (case, patient) in enumerate(named.items()):
        image, labels = blob(shape, class_count, seed=1000 * seed + number)
        write_volume(folder / "images" / f"{case}.nii.gz", image)
        write_volume(folder / "labels" / f"{case}.nii.gz", labels)
        rows.append(f"{case},{patient}")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder
