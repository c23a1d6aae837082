"""FLamby's centres as folders in house format; FLamby itself is imported only when it is asked.

FLamby hands out tensors, so its cases are written; the download and its licence are the user's.
Its tensors have no spacing: a voxel counts as 1 mm, and distances are in voxels.

Source:
    Ogier du Terrail et al., "FLamby: Datasets and Benchmarks for Cross-Silo Federated Learning in
    Realistic Healthcare Settings", NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from crisp_core.arrays import AnyArray
from crisp_core.errors import MissingExtraError, UsageError
from crisp_core.files.atomic import write_bytes, write_text
from crisp_core.files.layouts.house_writer import Imported
from crisp_core.files.phantom_cohort import volume_bytes

SPACE = 3


@dataclass(frozen=True)
class _Set:
    """Name of FLamby's class, and of the labels from 1 on."""

    name: str
    classes: tuple[str, ...]


SETS = {
    "fed_ixi": _Set("FedIXITiny", ("brain",)),
    "fed_kits19": _Set("FedKits19", ("kidney", "tumour")),
    "fed_lidc_idri": _Set("FedLidcIdri", ("nodule",)),
}
"""FLamby's data sets that segment volumes."""


def write_flamby(name: str, out: Path) -> Imported:
    """Write every centre of a data set; its own train and test split is kept.

    Args:
        name: A key of `SETS`.
        out: Gets one new folder a centre.

    Raises:
        UsageError: If the data set is unknown, or a centre's folder is there.
        MissingExtraError: If FLamby is not installed.
    """
    if name not in SETS:
        fix = "Name one of them instead of a folder"
        raise UsageError(
            expected=f"one of {', '.join(SETS)}", got=repr(name), where="flamby", fix=fix
        )
    module = _module(name)
    sites = []
    for centre in range(module.NUM_CLIENTS):
        site = out / f"centre-{centre}"
        if site.exists():
            fix = "Name another folder, or remove this one"
            raise UsageError(expected=f"no {site.name}", got="one", where=str(out), fix=fix)
        _write_centre(getattr(module, SETS[name].name), centre, site)
        sites.append(site)
    count = sum(len(list((site / "labels").iterdir())) for site in sites)
    return Imported(tuple(sites), SETS[name].classes, 0, count, count)


def _module(name: str) -> Any:  # noqa: ANN401 - a module of a package that has no types
    try:
        return import_module(f"flamby.datasets.{name}")
    except ImportError as error:
        raise MissingExtraError(
            expected="FLamby with this data set's needs",
            got=str(error),
            where=f"flamby.datasets.{name}",
            fix="Install it as its own documents say, and download the data set with it",
        ) from None


def _write_centre(kind: Any, centre: int, site: Path) -> None:  # noqa: ANN401 - FLamby's class
    rows = ["case,patient,split"]
    for split, case, (image, label) in _samples(kind, centre):
        for part, array in (("images", image), ("labels", label)):
            write_bytes(site / part / f"{case}.nii.gz", volume_bytes(array, np.eye(SPACE + 1)))
        rows.append(f"{case},{case},{split}")
    write_text(site / "cases.csv", "\n".join(rows) + "\n")


def _samples(kind: Any, centre: int) -> Iterator[tuple[str, str, tuple[AnyArray, AnyArray]]]:  # noqa: ANN401
    for split in ("train", "test"):
        samples = kind(center=centre, train=split == "train", pooled=False)
        for number in range(len(samples)):
            image, label = (np.asarray(part) for part in samples[number])
            yield split, f"{split}-{number:04d}", (_solid(image).astype(np.float32), _labels(label))


def _labels(label: AnyArray) -> AnyArray:
    """Turn (D, H, W), (1, D, H, W) or one channel a class, background first, into labels."""
    one_hot = label.ndim > SPACE and label.shape[0] > 1
    return (label.argmax(axis=0) if one_hot else _solid(label)).astype(np.uint8)


def _solid(array: AnyArray) -> AnyArray:
    return array[0] if array.ndim > SPACE else array
