"""Time reading NIfTI against nibabel's plain path: `python -m benchmarks.nifti_speed`."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np

from benchmarks.findings import Findings, cpu_seconds, median, publish
from crisp_core.arrays import AnyArray, BoolArray
from crisp_core.files.volumes import read_image, read_labels

SPACING_MM = (1.4, 1.4, 10.0)
GZIP_LEVEL = 6
WANTED = 2.0
HALF = 0.5
NOTES = (
    "Medians of interleaved repeats in CPU time; the values agree with nibabel's.",
    "nibabel's plain path: `nib.load(path).get_fdata()`, float64; float32: with that `dtype`.",
    "One frame: nibabel's `dataobj[..., frame]` in these types.",
    "Ours also puts the axes into the house's order, and refuses what is no image.",
    f"Files are written with gzip level {GZIP_LEVEL}; smooth structures with noise, not patients.",
)


@dataclass(frozen=True)
class File:
    """What is read: its shape and type in the file, and how often it is timed."""

    name: str
    shape: tuple[int, ...]
    kind: str
    repeats: int
    frame: int | None = None
    packed: bool = True


FILES = (
    File("MRI, int16", (256, 256, 12), "image", 7),
    File("MRI, int16, not compressed", (256, 256, 12), "image", 7, packed=False),
    File("CT, int16", (512, 512, 60), "image", 3),
    File("one frame of a cine, int16", (256, 256, 12, 25), "image", 3, frame=9),
    File("mask, uint8", (512, 512, 60), "mask", 5),
)


def written(file: File, folder: Path) -> Path:
    """Draw a ball in noise, or the ball alone, and write it."""
    axes = (np.linspace(-1, 1, length) for length in file.shape[:3])
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    ball: BoolArray = x**2 + y**2 + z**2 < HALF
    if file.kind == "mask":
        array: AnyArray = ball.astype(np.uint8)
    else:
        noise = np.random.default_rng(0).normal(100, 12, file.shape)
        solid = ball if len(file.shape) == ball.ndim else ball[..., None]
        array = (noise + 300 * solid).astype(np.int16)
    data = nib.Nifti1Image(array, np.diag([*SPACING_MM, 1.0])).to_bytes()
    path = folder / f"file.nii{'.gz' if file.packed else ''}"
    path.write_bytes(gzip.compress(data, GZIP_LEVEL) if file.packed else data)
    return path


def readers(file: File, path: Path) -> dict[str, Callable[[], AnyArray]]:
    """Return our way to read a file into an array, and nibabel's with its two types."""

    def loaded() -> AnyArray:
        return nib.load(path).dataobj[..., file.frame]  # type: ignore[attr-defined,no-any-return]

    def ours() -> AnyArray:
        if file.kind == "mask":
            return read_labels(path).array
        return read_image(path, frame=file.frame).array

    if file.frame is not None:
        return {
            "ours": ours,
            "get_fdata": lambda: np.asarray(loaded(), dtype=np.float64),
            "float32": lambda: np.asarray(loaded(), dtype=np.float32),
        }
    return {
        "ours": ours,
        "get_fdata": lambda: nib.load(path).get_fdata(),  # type: ignore[attr-defined]
        "float32": lambda: nib.load(path).get_fdata(dtype=np.float32),  # type: ignore[attr-defined]
    }


def measured(file: File, folder: Path) -> dict[str, str | float]:
    """Time one file every way, and see that all say the same."""
    ways = readers(file, written(file, folder))
    sums = {name: float(read().sum(dtype=np.float64)) for name, read in ways.items()}
    np.testing.assert_allclose([*sums.values()], sums["ours"], rtol=1e-9)
    seconds = cpu_seconds(ways, file.repeats)
    return {
        "file": file.name,
        "shape": " x ".join(map(str, file.shape)),
        "ours, ms": 1000 * median(seconds["ours"]),
        "nibabel get_fdata, ms": 1000 * median(seconds["get_fdata"]),
        "nibabel float32, ms": 1000 * median(seconds["float32"]),
        "times faster than get_fdata": median(seconds["get_fdata"] / seconds["ours"]),
        "than float32": median(seconds["float32"] / seconds["ours"]),
        "wanted": WANTED,
    }


def main() -> None:
    """Time every file."""
    with TemporaryDirectory() as folder:
        rows = [measured(file, Path(folder)) for file in FILES]
    publish(Findings("nifti_speed", "Reading NIfTI against nibabel", rows, NOTES))


if __name__ == "__main__":
    main()
