from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from dicom_samples import AXIAL, CT, MR, OBLIQUE, enhanced, phantom, save, series_of
from pydicom import Dataset, dcmread

from crisp_core.errors import DataError
from crisp_core.files.dicom.masks import read_mask
from crisp_core.files.dicom.measurements import Verdict, measurement_report
from crisp_core.files.dicom.origin import Origin, write_object
from crisp_core.files.dicom.segmentation import segmentation
from crisp_core.files.dicom.series import Series, read_phases, read_series
from crisp_core.files.dicom.structures import structure_set

SHARED = Path(os.environ.get("CRISP_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
SUNNYBROOK = SHARED / "sunnybrook_dicom"
NAMES = ("LV", "MYO")
COLOURS = ((230, 159, 0), (86, 180, 233))
ORIGIN = Origin("answer", "tiny", "ab" * 32, "0.1.0")
KINDS = ("MR", "CT", "oblique", "enhanced")
needs_validator = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="apt-get install dicom3tools"
)


def series(folder: Path, kind: str = "MR") -> Series:
    """Write a series of five slices and read it."""
    array = phantom(5, 20, 24)
    if kind == "enhanced":
        return read_series(save(folder / kind, [enhanced(array, order=[2, 0, 1, 4, 3])]))
    directions = OBLIQUE if kind == "oblique" else AXIAL
    made = series_of(array, sop_class=CT if kind == "CT" else MR, directions=directions)
    return read_series(save(folder / kind, made))


def ring(of: Series, *, empty: bool = False) -> np.ndarray:
    """A cavity in a ring in two slices, an island beside it, and slices without anything."""
    labels = np.zeros(of.volume.grid.shape, np.uint8)
    if not empty:
        labels[1:3, 3:12, 4:13] = 2
        labels[1:3, 5:10, 6:11] = 1
        labels[2, 15, 2:4] = 1
    return labels


def written(folder: Path, dataset: Dataset) -> Path:
    path = folder / "results" / "result.dcm"
    write_object(path, dataset)
    return path


def complaints(path: Path) -> list[str]:
    """What dciodvfy calls an error."""
    words = ["dciodvfy", "-new", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert (done.returncode != 0) == bool(errors)
    return errors


def report(of: Series, labels: np.ndarray, verdict: Verdict | None = None) -> Dataset:
    ml = 0.015  # 1.5 x 1.25 x 8 mm
    volumes = {name: float((labels == i + 1).sum() * ml) for i, name in enumerate(NAMES)}
    made = segmentation(of, labels, NAMES, COLOURS, ORIGIN)
    return measurement_report(of, made, volumes, verdict, ORIGIN)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("labelmap", [False, True])
def test_a_segmentation_read_back_is_the_prediction_voxel_for_voxel(
    tmp_path: Path, kind: str, labelmap: bool
) -> None:
    of = series(tmp_path, kind)
    labels = ring(of)

    path = written(tmp_path, segmentation(of, labels, NAMES, COLOURS, ORIGIN, labelmap=labelmap))

    back = read_mask(path, of, {"LV": 1, "MYO": 2})
    assert np.array_equal(back.array, labels)


@pytest.mark.parametrize("kind", KINDS)
def test_outlines_read_back_are_the_prediction_voxel_for_voxel(tmp_path: Path, kind: str) -> None:
    of = series(tmp_path, kind)
    labels = ring(of)

    path = written(tmp_path, structure_set(of, labels, NAMES, COLOURS, ORIGIN))

    back = read_mask(path, of, {"LV": 1, "MYO": 2})
    assert np.array_equal(back.array, labels)


@needs_validator
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("empty", [False, True])
def test_the_validator_finds_no_error_in_any_object(tmp_path: Path, kind: str, empty: bool) -> None:
    of = series(tmp_path, kind)
    labels = ring(of, empty=empty)
    verdict = Verdict(("review", "A person must look at it"), {"entropy": "It is unsure"})

    for made in (
        segmentation(of, labels, NAMES, COLOURS, ORIGIN),
        structure_set(of, labels, NAMES, COLOURS, ORIGIN),
        report(of, labels, verdict),
    ):
        assert complaints(written(tmp_path, made)) == []


@needs_validator
def test_the_validator_would_find_an_error(tmp_path: Path) -> None:
    of = series(tmp_path)
    made = structure_set(of, ring(of), NAMES, COLOURS, ORIGIN)
    del made.FrameOfReferenceUID, made.StructureSetLabel

    assert complaints(written(tmp_path, made)) != []


def test_results_are_new_objects_of_the_same_patient_study_and_space(tmp_path: Path) -> None:
    of = series(tmp_path)
    labels = ring(of)
    image = dcmread(of.files[0])

    made = [
        segmentation(of, labels, NAMES, COLOURS, ORIGIN),
        structure_set(of, labels, NAMES, COLOURS, ORIGIN),
        report(of, labels),
    ]

    for one in made:
        assert one.PatientID == image.PatientID
        assert one.StudyInstanceUID == image.StudyInstanceUID
        assert one.SeriesInstanceUID != image.SeriesInstanceUID
        assert one.SOPInstanceUID not in of.facts.instance_uids
    assert made[0].FrameOfReferenceUID == made[1].FrameOfReferenceUID == image.FrameOfReferenceUID
    assert len({one.SeriesInstanceUID for one in made}) == 3
    referenced = made[0].ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == of.facts.series_uid
    uids = {one.ReferencedSOPInstanceUID for one in referenced.ReferencedInstanceSequence}
    assert uids == set(of.facts.instance_uids)


def test_one_answer_has_one_name_and_another_answer_another(tmp_path: Path) -> None:
    of = series(tmp_path)
    other = Origin("another", "tiny", "ab" * 32, "0.1.0")

    first, again, changed = (
        segmentation(of, ring(of), NAMES, COLOURS, origin).SOPInstanceUID
        for origin in (ORIGIN, ORIGIN, other)
    )

    assert first == again != changed


def test_only_slices_with_a_structure_are_stored(tmp_path: Path) -> None:
    of = series(tmp_path)

    made = segmentation(of, ring(of), NAMES, COLOURS, ORIGIN)

    assert made.NumberOfFrames == 4  # two structures in two slices each


def test_a_report_says_volumes_flag_and_reasons_in_codes(tmp_path: Path) -> None:
    of = series(tmp_path)
    labels = ring(of)
    verdict = Verdict(("review", "A person must look at it"), {"entropy": "It is unsure"})

    text = str(report(of, labels, verdict))

    assert f"{(labels == 1).sum() * 0.015:g}" in text
    for words in ("'review'", "'entropy'", "Research result, not for diagnosis", "'mL'"):
        assert words in text


def test_a_series_without_a_space_of_its_own_is_refused(tmp_path: Path) -> None:
    made = series_of(phantom())
    for image in made:
        del image.FrameOfReferenceUID
    of = read_series(save(tmp_path / "in", made))

    with pytest.raises(DataError, match="a frame of reference"):
        segmentation(of, ring(of, empty=True), NAMES, COLOURS, ORIGIN)


@pytest.mark.data
@needs_validator
@pytest.mark.skipif(not SUNNYBROOK.is_dir(), reason="the shared data sets are not there")
def test_real_images_give_objects_without_an_error_of_their_own(tmp_path: Path) -> None:
    """The files' UIDs have leading zeros; results must repeat those to refer to them."""
    folder = min(path for path in SUNNYBROOK.iterdir() if path.is_dir())
    of = read_phases(folder / "dicom")[0]
    labels = ring(of)

    for made in (
        segmentation(of, labels, NAMES, COLOURS, ORIGIN),
        structure_set(of, labels, NAMES, COLOURS, ORIGIN),
        report(of, labels),
    ):
        path = written(tmp_path, made)
        assert [line for line in complaints(path) if "Leading zeroes" not in line] == []
    for kind in (segmentation, structure_set):
        path = written(tmp_path, kind(of, labels, NAMES, COLOURS, ORIGIN))
        assert np.array_equal(read_mask(path, of, {"LV": 1, "MYO": 2}).array, labels)
