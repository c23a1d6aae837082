"""A folder of DICOM becomes a site's folder: voxels and labels as they were, and no person."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from dicom_samples import phantom, save, segmentation, series_of
from PIL import Image
from pydicom import dcmread
from pydicom.uid import generate_uid

from crisp_core.errors import DataError, UsageError
from crisp_core.files.cohort import read_cohort
from crisp_core.files.dicom.cohort import write_cohort
from crisp_core.files.dicom.series import Series, read_phases, read_series
from crisp_core.files.examine import examine, open_case
from crisp_core.files.orientation import same_place, to_house

SHAPE = (4, 30, 40)
SHARED = Path(os.environ.get("CRISP_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
SUNNYBROOK = SHARED / "sunnybrook_dicom"


def blobs(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, SHAPE).astype(np.uint8)


def study(folder: Path, number: int, patient: str) -> Path:
    """Write one study with a series and a segmentation of two parts."""

    def changed(dataset, _):
        dataset.StudyInstanceUID, dataset.PatientID = f"2.25.10{number}", patient
        dataset.FrameOfReferenceUID = f"2.25.30{number}"

    made = series_of(phantom(*SHAPE, seed=number), series=f"2.25.20{number}", change=changed)
    series = read_series(save(folder / f"{number}" / "images", made))
    mask = segmentation(series, blobs(number), "BINARY")
    changed(mask, 0)
    mask.SeriesInstanceUID = f"2.25.40{number}"
    save(folder / f"{number}" / "mask", [mask])
    return folder


def test_series_and_masks_become_cases_of_numbered_patients(tmp_path):
    for number, patient in enumerate(["4711", "4712", "4711"]):
        study(tmp_path / "clinic", number, patient)

    made = write_cohort(tmp_path / "clinic", tmp_path / "out")

    assert (made.classes, made.frame_count) == (("part 1", "part 2"), 3)
    cohort = read_cohort(made.sites[0], "clinic", class_count=2)
    assert [case.patient_id for case in cohort.cases] == [
        "patient-0001",
        "patient-0002",
        "patient-0001",
    ]
    for number, case in enumerate(cohort.cases):
        image, labels = open_case(case, 2)
        series = read_series(tmp_path / "clinic" / str(number) / "images")
        np.testing.assert_array_equal(image.array, series.volume.array)
        assert same_place(image.grid, series.volume.grid)
        file_axes = blobs(number).transpose(2, 1, 0)
        np.testing.assert_array_equal(labels.array, to_house(file_axes, series.volume.grid))
    text = b"".join(path.read_bytes() for path in made.sites[0].rglob("*") if path.is_file())
    assert b"4711" not in text
    assert b"2.25." not in text


def test_classes_choose_the_structures_and_their_order(tmp_path):
    study(tmp_path / "clinic", 0, "1")

    made = write_cohort(tmp_path / "clinic", tmp_path / "out", ["part 2"])

    [case] = read_cohort(made.sites[0], "clinic", 1).cases
    assert (open_case(case, 1)[1].array == 1).sum() == (blobs(0) == 2).sum()


def test_a_mask_without_its_series_is_refused(tmp_path):
    study(tmp_path / "clinic", 0, "1")
    mask = dcmread(tmp_path / "clinic/0/mask/000.dcm")
    for group in mask.PerFrameFunctionalGroupsSequence:
        for source in group.DerivationImageSequence[0].SourceImageSequence:
            source.ReferencedSOPInstanceUID = generate_uid()
    mask.save_as(tmp_path / "clinic/0/mask/000.dcm")

    with pytest.raises(DataError, match=r"a mask that fits one series, got 0 .*other images"):
        write_cohort(tmp_path / "clinic", tmp_path / "out")


def test_a_folder_without_masks_and_one_that_is_there_are_refused(tmp_path):
    save(tmp_path / "clinic", series_of(phantom()))
    with pytest.raises(DataError, match="at least one mask, got none"):
        write_cohort(tmp_path / "clinic", tmp_path / "out")
    (tmp_path / "out" / "clinic").mkdir(parents=True)
    with pytest.raises(UsageError, match="no folder 'clinic'"):
        write_cohort(tmp_path / "clinic", tmp_path / "out")


def drawn(phase: Series, folder: Path) -> np.ndarray:
    """Return the contours of a phase, as pictures beside the real files have them."""
    pictures = [folder / "labels_png" / f"{path.stem}.png" for path in phase.files]
    return np.stack([np.asarray(Image.open(picture)) for picture in pictures])


@pytest.mark.data
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # the archive that wrote them
@pytest.mark.skipif(not SUNNYBROOK.is_dir(), reason=f"no shared data sets in {SHARED}")
def test_two_real_patients_become_a_site_that_can_be_trained_on(tmp_path):
    """Real GE cine files: phases told apart, masks stored as DICOM-SEG, found again, imported."""
    clinic = tmp_path / "clinic"
    for folder in sorted(path for path in SUNNYBROOK.iterdir() if path.is_dir()):
        (clinic / folder.name).mkdir(parents=True)
        for path in (folder / "dicom").iterdir():
            (clinic / folder.name / path.name).write_bytes(path.read_bytes())
        for phase in read_phases(folder / "dicom"):
            stored(phase, drawn(phase, folder), clinic / folder.name)

    made = write_cohort(clinic, tmp_path / "out", ["part 1"])

    assert [finding for finding in examine(made.sites[0], 1) if finding.level == "error"] == []
    cases = read_cohort(made.sites[0], "clinic", 1).cases
    assert [(case.patient_id[-1], case.phase) for case in cases] == [
        ("1", "0"),
        ("1", "1"),
        ("2", "0"),
        ("2", "1"),
    ]
    volumes = [labels_ml(open_case(case, 1)[1]) for case in cases]
    assert all(np.isclose(volumes, [expected_ml(number) for number in range(4)], rtol=1e-5))


def stored(phase: Series, labels: np.ndarray, folder: Path) -> None:
    header = dcmread(phase.files[0], stop_before_pixels=True)
    turn = [float(value) for value in header.ImageOrientationPatient]
    mask = segmentation(phase, labels, "BINARY", (turn[:3], turn[3:]))
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
        setattr(mask, keyword, header[keyword].value)
    spacing = [float(value) for value in header.PixelSpacing]
    mask.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = spacing
    frames = [index for index, plane in enumerate(labels) for n in (1, 2) if (plane == n).any()]
    for group, index in zip(mask.PerFrameFunctionalGroupsSequence, frames, strict=True):
        place = [round(float(x), 6) for x in phase.frames[index].plane.position_mm]
        group.PlanePositionSequence[0].ImagePositionPatient = place
    mask.SeriesInstanceUID = generate_uid()
    mask.SOPInstanceUID = mask.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    mask.save_as(folder / f"mask-{phase.facts.phase}.dcm", enforce_file_format=True)


def labels_ml(labels) -> float:
    return float((labels.array == 1).sum() * np.prod(labels.grid.spacing_mm) / 1000)


def expected_ml(number: int) -> float:
    """Count the cavity's pixels in the pictures: 10 mm slices of 1.367188 mm pixels."""
    folder = sorted(path for path in SUNNYBROOK.iterdir() if path.is_dir())[number // 2]
    phase = read_phases(folder / "dicom")[number % 2]
    return float((drawn(phase, folder) == 1).sum() * 10 * 1.367188**2 / 1000)
