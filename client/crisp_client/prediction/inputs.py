"""What there is to predict on: NIfTI files, folders of them, or a DICOM series."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crisp_core.arrays import FloatArray
from crisp_core.errors import DataError, UsageError
from crisp_core.files.cohort import SUFFIXES, images_in
from crisp_core.files.examine import image_errors
from crisp_core.files.preprocess import Placement, PrepareSettings
from crisp_core.files.volumes import Volume, read_image
from crisp_core.files.windows import prepare_windows, window_placements
from crisp_core.schema.study import Study

if TYPE_CHECKING:  # the DICOM extra may be absent
    from crisp_core.files.dicom.series import Series


@dataclass(frozen=True)
class Source:
    """One image to be opened: its name, and its files or its series."""

    name: str
    files: tuple[Path, ...]
    is_dicom: bool = False
    series_uid: str | None = None
    phase: int | None = None


@dataclass(frozen=True)
class Opened:
    """An image that was read and prepared.

    Attributes:
        name: Of the case.
        volume: As it was read.
        input_hash: SHA-256 of its voxels and their places.
        images: float32 (W, D, C, h, w), what the network sees.
        placements: Of the W windows.
        series: Where it came from, if that was DICOM.
    """

    name: str
    volume: Volume
    input_hash: str
    images: FloatArray
    placements: tuple[Placement, ...]
    series: Series | None = None


def sources_in(
    place: Path, *, series_uid: str | None = None, phase: int | None = None
) -> tuple[Source, ...]:
    """Find what to predict on.

    A NIfTI file is one image. In a folder of the house format, or a plain one, every NIfTI image
    is one, `<case>_0000`, `<case>_0001` … its channels. Any other folder or file is taken for one
    DICOM series.

    Raises:
        UsageError: If there is nothing at `place`.
        DataError: If the NIfTI files of a folder do not go together.
    """
    if place.is_file():
        stem = next((place.name.removesuffix(s) for s in SUFFIXES if place.name.endswith(s)), None)
        if stem is not None:
            return (Source(stem, (place,)),)
        return (Source(place.stem, (place,), True, series_uid, phase),)
    if not place.is_dir():
        raise UsageError(
            expected="a NIfTI file, a folder of them, or a folder of DICOM files",
            got="nothing",
            where=str(place),
            fix="Name a file or folder that is there",
        )
    images = images_in(place / "images" if (place / "images").is_dir() else place)
    if images:
        return tuple(Source(name, files) for name, files in images.items())
    return (Source(place.resolve().name, (place,), True, series_uid, phase),)


def opened(source: Source, study: Study) -> Opened:
    """Read an image and put it on the study's grid.

    Raises:
        DataError: If it cannot be read, or is no image that the study's model takes.
        MissingExtraError: If it is DICOM and that part is not installed.
    """
    series = _series(source) if source.is_dicom else None
    volume = series.volume if series else read_image(*source.files)
    _insist_on_channels(source.name, len(volume.array), study.model.channels)
    for error in image_errors(source.name, volume):
        raise error
    settings = _settings(study)
    placements = window_placements(volume.grid, settings)
    return Opened(
        name=source.name,
        volume=volume,
        input_hash=volume_hash(volume),
        images=prepare_windows(volume, settings, placements),
        placements=placements,
        series=series,
    )


def volume_hash(volume: Volume) -> str:
    """Return the SHA-256 of an image's voxels, in the house's axes, and of their places."""
    place = np.array(volume.grid.affine, np.float32).tobytes()
    digest = hashlib.sha256(repr((volume.array.shape, volume.grid.order)).encode() + place)
    digest.update(np.ascontiguousarray(volume.array, np.float32).data)
    return digest.hexdigest()


def _settings(study: Study) -> PrepareSettings:
    images = study.images
    return PrepareSettings(images.size, images.fit, images.spacing_mm, images.percentiles)


def _series(source: Source) -> Series:
    from crisp_core.files.dicom.series import read_series  # noqa: PLC0415 - an extra

    place = source.files[0]
    return read_series(place if place.is_dir() else source.files, source.series_uid, source.phase)


def _insist_on_channels(name: str, channels: int, expected: int) -> None:
    if channels != expected:
        raise DataError(
            expected=f"an image of {expected} channels, as the model was trained on",
            got=f"{channels}",
            where=f"case {name!r}",
            fix="Name channels <case>_0000, <case>_0001 …; give a cine one file a phase",
        )
