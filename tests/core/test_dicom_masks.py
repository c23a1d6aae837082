"""Masks out of DICOM: what was drawn is what is read, or a sentence says why not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from dicom_samples import (
    AXIAL,
    OBLIQUE,
    SERIES,
    SPACE,
    STUDY,
    drawing,
    enhanced,
    outline,
    phantom,
    position,
    save,
    segmentation,
    series_of,
)
from pydicom import dcmread
from pydicom.uid import generate_uid

from crisp_core.errors import DataError
from crisp_core.files.dicom.masks import read_mask
from crisp_core.files.dicom.series import Series, read_phases, read_series

SHAPE = (4, 30, 40)


def blobs(seed: int = 0) -> np.ndarray:
    """Return uint8 labels 0 to 2 (slices, rows, columns); the last slice is empty."""
    labels = np.random.default_rng(seed).integers(0, 3, SHAPE).astype(np.uint8)
    labels[-1] = 0
    return labels


def made_on(folder: Path, directions=AXIAL) -> Series:
    return read_series(save(folder / "images", series_of(phantom(*SHAPE), directions=directions)))


def in_file_axes(labels) -> np.ndarray:
    """Return (slices, rows, columns) as stored."""
    from crisp_core.files.orientation import to_file

    return to_file(labels.array, labels.grid).transpose(2, 1, 0)


def written(folder: Path, dataset) -> Path:
    save(folder, [dataset])
    return folder / "000.dcm"


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("directions", [AXIAL, OBLIQUE])
def test_a_segmentation_is_read_as_it_was_drawn(tmp_path, kind, directions):
    series, labels = made_on(tmp_path, directions), blobs()
    path = written(tmp_path / "seg", segmentation(series, labels, kind, directions))

    mask = read_mask(path, series)

    assert mask.grid == series.volume.grid
    np.testing.assert_array_equal(in_file_axes(mask), labels)


def test_structures_get_labels_by_their_name(tmp_path):
    series, labels = made_on(tmp_path), blobs()
    path = written(tmp_path / "seg", segmentation(series, labels, "BINARY"))

    mask = read_mask(path, series, {"part 2": 7})

    np.testing.assert_array_equal(in_file_axes(mask), np.where(labels == 2, 7, 0))
    with pytest.raises(
        DataError, match="one structure 'part 3', got structures 'part 1', 'part 2'"
    ):
        read_mask(path, series, {"part 3": 1})


def test_fractions_need_a_threshold(tmp_path):
    series, labels = made_on(tmp_path), blobs()
    path = written(tmp_path / "seg", segmentation(series, labels, "FRACTIONAL"))

    with pytest.raises(DataError, match="whole pixels, got fractions"):
        read_mask(path, series)
    np.testing.assert_array_equal(
        in_file_axes(read_mask(path, series, {"part 1": 1}, fraction=0.5)), labels == 1
    )
    assert not read_mask(path, series, {"part 1": 1}, fraction=0.9).array.any()  # drawn with 0.8


def test_segments_that_overlap_are_refused(tmp_path):
    series = made_on(tmp_path)
    labels = np.ones(SHAPE, np.uint8)
    labels[1] = 2
    both = segmentation(series, labels, "BINARY")
    second = both.PerFrameFunctionalGroupsSequence[1]
    second.PlanePositionSequence[0].ImagePositionPatient = position(0)

    with pytest.raises(DataError, match="one structure a pixel, got 1200 pixels"):
        read_mask(written(tmp_path / "seg", both), series)


def test_a_segment_that_is_not_described_is_refused(tmp_path):
    series = made_on(tmp_path)
    dataset = segmentation(series, blobs(), "BINARY")
    del dataset.SegmentSequence[1]

    with pytest.raises(DataError, match="a description of segment 2, got none"):
        read_mask(written(tmp_path / "seg", dataset), series)


def changed(series, **values):
    dataset = segmentation(series, blobs(), "BINARY")
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def moved(series, place):
    dataset = segmentation(series, blobs(), "BINARY")
    group = dataset.PerFrameFunctionalGroupsSequence[0]
    group.PlanePositionSequence[0].ImagePositionPatient = place
    return dataset


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda s: changed(s, FrameOfReferenceUID="1.2.3"), "in the series' space"),
        (lambda s: changed(s, Rows=20, Columns=60), "frames of 30 x 40 as the series"),
        (lambda s: changed(s, SegmentationType="FREEHAND"), "BINARY, LABELMAP or FRACTIONAL"),
        (lambda s: changed(s, PixelData=bytes(100)), "bytes of pixel data, got 100"),
        (lambda s: moved(s, [-20, -30, 44]), "on one of slices 1 to 4, got slice 1.50"),
        (lambda s: moved(s, [-20, -30, 400]), "on one of slices 1 to 4"),
        (lambda s: moved(s, [-19, -30, 40]), "on the series' pixels, got one 0.8 columns"),
    ],
)
def test_a_segmentation_of_something_else_is_refused(tmp_path, make, sentence):
    series = made_on(tmp_path)

    with pytest.raises(DataError, match=sentence):
        read_mask(written(tmp_path / "seg", make(series)), series)


def two_phases(folder: Path) -> tuple[Series, ...]:
    both = []
    for phase in range(2):

        def timed(dataset, number, phase=phase):
            dataset.TriggerTime = str(100 * phase)
            dataset.SOPInstanceUID = generate_uid(entropy_srcs=[str(phase), str(number)])
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID

        both += series_of(phantom(*SHAPE, seed=phase), change=timed)
    return read_phases(save(folder / "images", both))


def test_a_mask_belongs_to_the_phase_that_it_names(tmp_path):
    first, second = two_phases(tmp_path)
    path = written(tmp_path / "seg", segmentation(second, blobs(), "BINARY"))

    np.testing.assert_array_equal(in_file_axes(read_mask(path, second)), blobs())
    with pytest.raises(DataError, match="made on this series, got other images"):
        read_mask(path, first)


def rings(centre: Sequence[float], radii: Sequence[float]) -> list[np.ndarray]:
    turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    return [
        np.stack([centre[0] + r * np.cos(turn), centre[1] + r * np.sin(turn)], 1) for r in radii
    ]


@pytest.mark.parametrize("directions", [AXIAL, OBLIQUE])
def test_an_outline_with_a_hole_has_the_area_of_a_ring(tmp_path, directions):
    series = made_on(tmp_path, directions)
    contours = [outline(ring, 2, directions) for ring in rings((25, 22), (15, 6))]  # millimetres
    path = written(tmp_path / "rt", drawing({"wall": contours}))

    mask = in_file_axes(read_mask(path, series))

    area_mm2 = mask.sum() * 1.5 * 1.25
    assert area_mm2 == pytest.approx(np.pi * (15**2 - 6**2), rel=0.02)
    assert mask[2].any()
    assert not mask[[0, 1, 3]].any()
    assert mask[2, round(22 / 1.5), round(25 / 1.25)] == 0  # the hole


def test_outlines_around_pixels_give_those_pixels(tmp_path):
    series = made_on(tmp_path)
    square = np.array([[10 - 0.5, 5 - 0.5], [19.5, 4.5], [19.5, 14.5], [9.5, 14.5]]) * [1.25, 1.5]
    path = written(tmp_path / "rt", drawing({"box": [outline(square, 1)]}))

    mask = in_file_axes(read_mask(path, series, {"box": 3}))

    expected = np.zeros(SHAPE, np.uint8)
    expected[1, 5:15, 10:20] = 3
    np.testing.assert_array_equal(mask, expected)


def between():
    return drawing({"a": [outline(rings((20, 20), (9,))[0], 1.4)]})


def points():
    dataset = drawing({"a": [outline(rings((20, 20), (9,))[0], 1)]})
    dataset.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "POINT"
    return dataset


def cut():
    dataset = drawing({"a": [outline(rings((20, 20), (9,))[0], 1)]})
    dataset.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2", "3", "4"]
    return dataset


def elsewhere():
    dataset = drawing({"a": [outline(rings((20, 20), (9,))[0], 1)]})
    dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3"
    return dataset


def empty():
    return drawing({"a": []})


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (between, "on one of slices 1 to 4, got slice 2.40"),
        (points, "closed outlines of at least 3 corners, got POINT of 200 points"),
        (cut, "600 values of ContourData, got 4"),
        (elsewhere, "in the series' space"),
        (empty, "structures drawn on this series, got none"),
    ],
)
def test_a_drawing_that_does_not_fit_is_refused(tmp_path, make, sentence):
    series = made_on(tmp_path)

    with pytest.raises(DataError, match=sentence):
        read_mask(written(tmp_path / "rt", make()), series)


def test_an_image_is_no_mask(tmp_path):
    series = made_on(tmp_path)

    with pytest.raises(DataError, match="a DICOM-SEG or an RTSTRUCT, got MR"):
        read_mask(series.files[0], series)


def test_a_mask_on_an_enhanced_image_finds_its_frames(tmp_path):
    save(tmp_path / "images", [enhanced(phantom(*SHAPE), order=[3, 1, 0, 2])])
    series = read_series(tmp_path / "images")
    path = written(tmp_path / "seg", segmentation(series, blobs(), "BINARY"))

    assert dcmread(path).StudyInstanceUID == STUDY
    assert series.facts.series_uid == SERIES
    assert series.facts.frame_of_reference_uid == SPACE
    np.testing.assert_array_equal(in_file_axes(read_mask(path, series)), blobs())
