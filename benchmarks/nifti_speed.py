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
    "Medians of interleaved repeats in CPU time; every value agrees with nibabel's.",
    "nibabel's plain path: `get_fdata(dtype=np.float32)`; a mask or a frame: `dataobj`.",
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
    """Return both ways to read a file into an array."""
    if file.kind == "mask":
        return {
            "ours": lambda: read_labels(path).array,
            "nibabel": lambda: np.asarray(nib.load(path).dataobj),  # type: ignore[attr-defined]
        }
    if file.frame is not None:
        return {
            "ours": lambda: read_image(path, frame=file.frame).array,
            "nibabel": lambda: np.asarray(
                nib.load(path).dataobj[..., file.frame],  # type: ignore[attr-defined]
                dtype=np.float32,
            ),
        }
    return {
        "ours": lambda: read_image(path).array,
        "nibabel": lambda: nib.load(path).get_fdata(dtype=np.float32),  # type: ignore[attr-defined]
    }


def measured(file: File, folder: Path) -> dict[str, str | float]:
    """Time one file both ways, and see that both say the same."""
    both = readers(file, written(file, folder))
    sums: dict[str, float] = {}
    jobs = {
        name: lambda n=name, r=read: sums.update({n: float(r().sum())})
        for name, read in both.items()
    }
    seconds = cpu_seconds(jobs, file.repeats)
    np.testing.assert_allclose(sums["ours"], sums["nibabel"], rtol=1e-5)
    return {
        "file": file.name,
        "shape": " x ".join(map(str, file.shape)),
        "ours, ms": 1000 * median(seconds["ours"]),
        "nibabel, ms": 1000 * median(seconds["nibabel"]),
        "times faster": median(seconds["nibabel"] / seconds["ours"]),
        "wanted": WANTED,
    }


def main() -> None:
    """Time every file."""
    with TemporaryDirectory() as folder:
        rows = [measured(file, Path(folder)) for file in FILES]
    publish(Findings("nifti_speed", "Reading NIfTI against nibabel", rows, NOTES))


if __name__ == "__main__":
    main()
