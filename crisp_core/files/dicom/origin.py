"""What every object that goes back to a PACS says of itself, and what it says of its source."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.uid import UID, generate_uid
from pydicom.valuerep import DA, TM

from crisp_core.arrays import AnyArray
from crisp_core.errors import DataError
from crisp_core.files.atomic import write_bytes
from crisp_core.files.dicom.series import Series
from crisp_core.files.dicom.values import quiet
from crisp_core.files.orientation import to_file

MAKER = "CRISP-FL"
DATES = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}
SERIES_NUMBERS = {"segmentation": 9101, "structures": 9102, "report": 9103}


@dataclass(frozen=True)
class Origin:
    """Who made a result: it names its objects, so that one answer has one name for ever.

    Attributes:
        answer_key: Hash of image, model, options and software.
        algorithm: Name of the study that the model is from.
        model_hash: Of the weights.
        software: Version of this software.
    """

    answer_key: str
    algorithm: str
    model_hash: str
    software: str

    def uid(self, kind: str) -> UID:
        """Return the UID of one thing of this answer; a repeated prediction names it alike."""
        return generate_uid(entropy_srcs=[kind, self.answer_key])

    @property
    def model_version(self) -> str:
        """The model, short enough for every field."""
        return self.model_hash[:12]


@quiet()
def source_images(series: Series) -> list[Dataset]:
    """Read the headers of the series' files, in the order of its slices, each file once.

    Raises:
        DataError: If the series has no frame of reference: nothing could be placed in it.
    """
    if not series.facts.frame_of_reference_uid:
        raise DataError(
            expected="a series with a frame of reference",
            got="one without",
            where="FrameOfReferenceUID",
            fix="Write NIfTI instead, or export the series again",
        )
    paths = dict.fromkeys(series.files)
    images = [_with_sound_dates(dcmread(path, stop_before_pixels=True)) for path in paths]
    for image in images:  # some anonymisers give each image of one space a space of its own
        image.FrameOfReferenceUID = series.facts.frame_of_reference_uid
    return images


def _with_sound_dates(image: Dataset) -> Dataset:
    """Empty what results would take over and is no date or time, such as a birth on 00000000."""
    for keyword, kind in DATES.items():
        try:
            kind(image.get(keyword, ""))
        except ValueError:
            setattr(image, keyword, "")
    return image


def stored_slices(array: AnyArray, series: Series) -> AnyArray:
    """Turn (D, H, W) into one (rows, columns) a slice, in the order of `series.frames`."""
    return np.ascontiguousarray(to_file(array, series.volume.grid).transpose(2, 1, 0))


@quiet()
def write_object(path: Path, dataset: Dataset) -> None:
    """Write a DICOM object, atomically.

    Raises:
        RunStateError: If the folder cannot be written.
    """
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    write_bytes(path, file.getbuffer())


def read_head(path: Path) -> Dataset:
    """Read an object that was written here, without its pixels."""
    return dcmread(path, stop_before_pixels=True)
