"""Prepared cases on disk: made once, mapped into memory, made anew when anything differs."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crisp_core.arrays import FloatArray, IntArray
from crisp_core.errors import DataError
from crisp_core.files.atomic import write_bytes, write_text
from crisp_core.files.cohort import Case
from crisp_core.files.examine import open_case
from crisp_core.files.orientation import Grid
from crisp_core.files.preprocess import (
    Placement,
    PrepareSettings,
    placement_of,
    prepare_image,
    prepare_labels,
)

FORMAT = 1
"""Counts up when the same source and settings would give other arrays."""


@dataclass(frozen=True)
class PreparedCase:
    """A case on the study's grid.

    Attributes:
        images: float32 (D, C, h, w) between -1 and 1, mapped from disk, read only.
        labels: uint8 (D, h, w), mapped from disk, read only.
        grid: Of the volume that it came from.
        placement: Where the study's pixels lie on that volume's slices.
    """

    images: FloatArray
    labels: IntArray
    grid: Grid
    placement: Placement


@dataclass(frozen=True)
class _Sidecar:
    """What the arrays were made from: `stamps` to know at a glance, `key` to know for certain."""

    stamps: list[list[int]]
    key: str
    grid: Grid


def prepared_case(
    case: Case, *, site: str, settings: PrepareSettings, folder: Path, class_count: int
) -> PreparedCase:
    """Return a case on the study's grid, from the cache if that holds it.

    Arrays are named by the SHA-256 of all that they are made from: two processes that make the
    same case at once write the same bytes under the same names.

    Args:
        case: Of a cohort.
        site: Gets a folder of its own in the cache.
        settings: How to prepare.
        folder: The cache; made if absent.
        class_count: The mask may hold the labels 0 to this.

    Raises:
        DataError: If the case cannot be used.
        RunStateError: If the cache cannot be written.
    """
    reading = [case.reading] if case.reading else []
    recipe = json.dumps([FORMAT, asdict(settings), class_count, case.spacing_mm, *reading])
    name = f"{case.case_id}.{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    sidecar = folder / site / f"{name}.json"
    stamps, known = stamps_of(case), _read_sidecar(sidecar)
    key = known.key if known is not None and known.stamps == stamps else _key(recipe, case)
    prepared = _opened(sidecar, known, settings) if known is not None and known.key == key else None
    if prepared is None:
        prepared = _made(_arrays(sidecar, key), case, settings, class_count)
    if known != (current := _Sidecar(stamps, key, prepared.grid)):
        write_text(sidecar, json.dumps(asdict(current)))
        _remove_outdated(sidecar, known, key)
    return prepared


def stamps_of(case: Case) -> list[list[int]]:
    """Return size, times of change and inode of the case's files: equal ones were not touched."""
    try:
        states = [path.stat() for path in (*case.images, case.label)]
    except OSError as error:
        raise _gone(case, error) from None
    return [[s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for s in states]


def _key(recipe: str, case: Case) -> str:
    digest = hashlib.sha256(recipe.encode())
    try:
        for path in (*case.images, case.label):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    except OSError as error:
        raise _gone(case, error) from None
    return digest.hexdigest()


def _read_sidecar(path: Path) -> _Sidecar | None:
    """Return what a sidecar says; None if it is absent or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        grid = Grid(**{name: _tupled(part) for name, part in value.pop("grid").items()})
        return _Sidecar(**value, grid=grid)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _tupled(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    return tuple(_tupled(part) for part in value) if isinstance(value, list) else value


def _arrays(sidecar: Path, key: str) -> tuple[Path, Path]:
    stem = f"{sidecar.stem.rpartition('.')[0]}.{key[:24]}"
    return sidecar.with_name(f"{stem}.images.npy"), sidecar.with_name(f"{stem}.labels.npy")


def _opened(sidecar: Path, known: _Sidecar, settings: PrepareSettings) -> PreparedCase | None:
    """Map the arrays into memory; None if they are absent or cut short."""
    try:
        images, labels = (np.load(path, mmap_mode="r") for path in _arrays(sidecar, known.key))
    except (OSError, ValueError, EOFError):
        return None
    return PreparedCase(images, labels, known.grid, placement_of(known.grid, settings))


def _made(
    paths: tuple[Path, Path], case: Case, settings: PrepareSettings, class_count: int
) -> PreparedCase:
    image, labels = open_case(case, class_count)
    arrays = prepare_image(image, settings), prepare_labels(labels, settings).astype(np.uint8)
    for path, array in zip(paths, arrays, strict=True):
        file = io.BytesIO()
        np.save(file, array)
        write_bytes(path, file.getbuffer())
    images, masks = (np.load(path, mmap_mode="r") for path in paths)
    return PreparedCase(images, masks, image.grid, placement_of(image.grid, settings))


def _remove_outdated(sidecar: Path, known: _Sidecar | None, key: str) -> None:
    """Remove the arrays of another content; who has them mapped keeps them."""
    if known is not None and known.key != key:
        for path in _arrays(sidecar, known.key):
            path.unlink(missing_ok=True)


def _gone(case: Case, error: OSError) -> DataError:
    return DataError(
        expected="the files that were there when the folder was read",
        got=error.strerror or "an error of the disk",
        where=f"case {case.case_id!r}",
        fix="Put the case back, or start again without it",
    )
