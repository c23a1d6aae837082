from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_samples import AXIAL, CT, OBLIQUE, enhanced, image, patch, phantom, save, series_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import generate_uid

from crisp_core.errors import DataError
from crisp_core.files.dicom.listing import list_series
from crisp_core.files.dicom.series import read_phases, read_series
from crisp_core.files.orientation import house_affine, same_place
from crisp_core.files.volumes import read_image

OTHER = generate_uid(entropy_srcs=["other"])


def nifti_of(path: Path, array: np.ndarray, directions, step_mm: float = 8.0) -> Path:
    """Write the same slices as NIfTI by the book: x is minus left, y is minus posterior."""
    rows, columns = np.array(directions)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = rows * 1.25, columns * 1.5
    affine[:3, 2], affine[:3, 3] = np.cross(rows, columns) * step_mm, [-20, -30, 40]
    affine[:2] *= -1
    path.write_bytes(nib.Nifti1Image(array.transpose(2, 1, 0), affine).to_bytes())
    return path


@pytest.mark.parametrize("directions", [AXIAL, OBLIQUE])
def test_a_series_is_the_volume_that_its_nifti_is(tmp_path, directions):
    array = phantom()
    nifti = read_image(nifti_of(tmp_path / "c.nii", array, directions))

    series = read_series(save(tmp_path / "d", series_of(array, directions=directions)))

    np.testing.assert_array_equal(series.volume.array, nifti.array)
    np.testing.assert_allclose(
        house_affine(series.volume.grid), house_affine(nifti.grid), atol=1e-4
    )
    assert same_place(series.volume.grid, nifti.grid)


@pytest.mark.parametrize("directions", [AXIAL, OBLIQUE])
def test_frames_of_an_enhanced_image_are_slices_in_any_order(tmp_path, directions):
    array = phantom()
    one = read_series(save(tmp_path / "one", series_of(array, directions=directions)))
    stored = enhanced(array, directions=directions, order=[2, 0, 3, 1])

    other = read_series(save(tmp_path / "other", [stored]))

    np.testing.assert_array_equal(one.volume.array, other.volume.array)
    assert one.volume.grid == other.volume.grid
    assert [frame.number for frame in other.frames] == [1, 3, 0, 2]
    assert set(other.files) == {tmp_path / "other" / "000.dcm"}


@given(st.permutations(range(5)))
@settings(deadline=None, max_examples=5)
def test_the_order_of_files_and_instance_numbers_changes_nothing(tmp_path_factory, numbers):
    def renumbered(dataset, number):
        dataset.InstanceNumber = numbers[number] + 1

    folder, array = tmp_path_factory.mktemp("d"), phantom(5)
    made = series_of(array, change=renumbered)

    series = read_series(save(folder, [made[number] for number in numbers]))

    np.testing.assert_array_equal(series.volume.array[0], array)
    places = [float(dcmread(path).ImagePositionPatient[2]) for path in series.files]
    assert places == sorted(places)


def test_slope_and_intercept_are_applied_slice_by_slice(tmp_path):
    def scaled(dataset, number):
        dataset.RescaleSlope, dataset.RescaleIntercept = str(number + 1), "-1024"

    array = phantom(3)

    volume = read_series(save(tmp_path, series_of(array, sop_class=CT, change=scaled))).volume

    np.testing.assert_array_equal(volume.array[0], array * [[[1]], [[2]], [[3]]] - 1024.0)


def test_a_single_slice_is_as_thick_as_it_says(tmp_path):
    series = read_series(save(tmp_path, [image(phantom(1)[0])]))

    assert series.volume.array.shape == (1, 1, 10, 12)
    assert series.facts.spacing_mm == (8.0, 1.5, 1.25)


def beating(slices: int, phases: int) -> list:
    made = []
    for phase in range(phases):

        def timed(dataset, number, phase=phase):
            dataset.TriggerTime = str(50 * phase + 3 * number)  # differs a little by place
            dataset.SOPInstanceUID = generate_uid(entropy_srcs=[str(phase), str(number)])
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID

        made += series_of(phantom(slices, seed=phase), change=timed)
    return made


def test_phases_are_told_apart_by_trigger_time(tmp_path):
    phases = read_phases(save(tmp_path, beating(3, 4)))

    assert len(phases) == 4
    for number, series in enumerate(phases):
        np.testing.assert_array_equal(series.volume.array[0], phantom(3, seed=number))
        assert (series.facts.phase, series.facts.phase_count) == (number, 4)
    with pytest.raises(DataError, match="got 4 phases"):
        read_series(tmp_path)
    np.testing.assert_array_equal(
        read_series(tmp_path, phase=2).volume.array, phases[2].volume.array
    )


def test_a_phase_with_an_image_missing_is_refused(tmp_path):
    save(tmp_path, beating(3, 4)[:-1])

    with pytest.raises(DataError, match=r"as many phases at every place, got 3 .* and 4"):
        read_phases(tmp_path)


def test_a_file_that_was_copied_counts_once(tmp_path):
    save(tmp_path, series_of(phantom()))
    shutil.copy(tmp_path / "001.dcm", tmp_path / "copy.dcm")

    assert read_series(tmp_path).volume.array.shape == (1, 4, 10, 12)


def test_an_object_in_two_versions_is_refused(tmp_path):
    save(tmp_path, series_of(phantom()))
    changed = dcmread(tmp_path / "001.dcm")
    changed.SliceThickness = 7
    changed.save_as(tmp_path / "copy.dcm")

    with pytest.raises(DataError, match="one file an object, got two that differ"):
        read_series(tmp_path)


def test_one_of_several_series_is_named(tmp_path):
    save(tmp_path / "a", series_of(phantom(3)))
    save(tmp_path / "b", series_of(phantom(5), series=OTHER))
    (tmp_path / "notes.txt").write_text("not DICOM")

    assert [len(entry.files) for entry in list_series(tmp_path)] == [3, 5]
    assert read_series(tmp_path, OTHER).volume.array.shape[1] == 5
    with pytest.raises(DataError, match="one series of images"):
        read_series(tmp_path)
    with pytest.raises(DataError, match=r"series 1\.2\.3, got 2 of MR"):
        read_series(tmp_path, "1.2.3")


def moved(number: int, place):
    def change(dataset, count):
        if count == number:
            dataset.ImagePositionPatient = place

    return change


def tilted(dataset, number):
    dataset.ImagePositionPatient = [-20, -30 + 2.0 * number, 40 + 8 * number]


def turned(dataset, number):
    if number == 2:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def without(keyword):
    def change(dataset, number):
        if number == 1:
            delattr(dataset, keyword)

    return change


def other(**values):
    def change(dataset, number):
        if number == 1:
            for keyword, value in values.items():
                setattr(dataset, keyword, value)

    return change


ODD = {
    "two slices in one place": (moved(1, [-20, -30, 40]), "one image a position"),
    "uneven": (moved(1, [-20, -30, 50]), "evenly spaced slices, got slice 2 2 mm off"),
    "shifted": (moved(1, [-19, -30, 48]), "straight above one another, got slice 2 1 mm aside"),
    "tilted": (tilted, r"along their normal, got a tilt of 14\.0"),
    "mixed orientation": (turned, "slices of one orientation"),
    "skewed": (other(ImageOrientationPatient=[1, 0, 0, 0.2, 0.98, 0]), "one orientation"),
    "two spacings": (other(PixelSpacing=[2, 1.25]), "one pixel spacing_mm"),
    "no position": (without("ImagePositionPatient"), "a value of ImagePositionPatient, got none"),
    "no orientation": (without("ImageOrientationPatient"), "a value of ImageOrientationPatient"),
    "no spacing": (without("PixelSpacing"), "a value of PixelSpacing, got none"),
    "no size": (without("Rows"), "a value of Rows, got none"),
    "no bits": (without("BitsStored"), "a value of BitsStored, got none"),
    "no pixels": (without("PixelData"), "PixelData, got none"),
    "no series": (without("SeriesInstanceUID"), "a UID as SeriesInstanceUID, got none"),
    "zero spacing": (other(PixelSpacing=[0, 1.25]), "PixelSpacing above 0, got 0"),
    "slope without intercept": (other(RescaleSlope="2"), "a value of RescaleIntercept"),
    "slope of zero": (other(RescaleSlope="0", RescaleIntercept="0"), "a slope other than 0"),
    "colour": (other(SamplesPerPixel=3), "grey images"),
    "inverted": (other(PhotometricInterpretation="MONOCHROME1"), "MONOCHROME2"),
    "truncated pixels": (other(PixelData=bytes(200)), "240 bytes of pixel data .* got 200"),
    "too many pixels": (other(PixelData=bytes(242)), "240 bytes of pixel data .* got 242"),
    "other height": (other(Rows=11), "slices of one shape"),
    "huge": (other(Rows=65535, Columns=65535), "pixels in a frame, got 65535 x 65535"),
    "values beyond the stored bits": (other(BitsStored=9, HighBit=8), "stored values -256 to 255"),
    "odd bits": (other(BitsAllocated=12), "8, 16 or 32 bits"),
    "far away": (moved(1, [-20, -30, 1e7]), "ImagePositionPatient within"),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_series_is_refused_in_a_sentence(tmp_path, kind):
    change, sentence = ODD[kind]
    save(tmp_path, series_of(phantom(), change=change))

    with pytest.raises(DataError, match=sentence):
        read_series(tmp_path)


def test_a_missing_slice_is_a_gap(tmp_path):
    made = series_of(phantom(5))

    with pytest.raises(DataError, match="got 16 mm between slices 3 and 4 where 8 mm is usual"):
        read_series(save(tmp_path, [*made[:3], made[4]]))


def test_ct_without_a_scale_is_refused(tmp_path):
    save(tmp_path, series_of(phantom(), sop_class=CT, change=without("RescaleSlope")))

    with pytest.raises(DataError, match="a value of RescaleSlope, got none"):
        read_series(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (rb"1.5\1.25", rb"1_5\1.25"),  # Python reads fifteen
        (rb"1.5\1.25", rb"nan\1.25"),
        (rb"1.5\1.25", rb"inf\1.25"),
        (rb"1.5\1.25", rb"1,5\1.25"),
        (rb"1.5\1.25", rb"1.5 1.25"),  # one value where two belong
        (rb"1.5\1.25", rb"1\.5\1.2"),  # three
        (rb"1.5\1.25", rb"0x1\1.25"),
        (rb"1.5\1.25", rb"1.5\ \t1"[:8]),
        (rb"1.5\1.25", b"1.5\\\xd9\xa1.5"),  # a digit of another script
        (rb"1.5\1.25", rb"1e999\12"),
        (rb"1.5\1.25", rb"--5\1.25"),
    ],
)
def test_a_decimal_that_is_not_written_as_the_standard_says_is_refused(tmp_path, old, new):
    patch(save(tmp_path, series_of(phantom())), old, new)

    with pytest.raises(DataError, match="PixelSpacing"):
        read_series(tmp_path)


def test_a_number_of_another_kind_is_refused(tmp_path):
    save(tmp_path, series_of(phantom()))
    patch(tmp_path, b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00SS\x02\x00")  # Rows

    with pytest.raises(DataError, match="Rows of kind US, got kind SS"):
        read_series(tmp_path)


def test_a_decimal_longer_than_the_standard_allows_is_refused(tmp_path):
    save(tmp_path, series_of(phantom(), change=other(SliceThickness="8.00000000000000")))
    patch_one = tmp_path / "002.dcm"
    data = patch_one.read_bytes()
    old = b"\x18\x00\x50\x00DS\x10\x008.00000000000000"
    patch_one.write_bytes(data.replace(old, b"\x18\x00\x50\x00DS\x12\x008.0000000000000000"))

    with pytest.raises(DataError, match="SliceThickness as the standard writes DS"):
        read_series(tmp_path)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_a_file_that_was_cut_off_is_refused(tmp_path, share):
    save(tmp_path, series_of(phantom()))
    data = (tmp_path / "001.dcm").read_bytes()
    (tmp_path / "001.dcm").write_bytes(data[: int(share * len(data))])

    with pytest.raises(DataError, match=r"001\.dcm"):
        read_series(tmp_path)


@pytest.mark.parametrize("content", [b"", b"DICM", bytes(200), bytes(128) + b"DICM"])
def test_a_file_named_dicom_that_is_none_is_refused(tmp_path, content):
    save(tmp_path, series_of(phantom()))
    (tmp_path / "odd.dcm").write_bytes(content)

    with pytest.raises(DataError, match=r"odd\.dcm"):
        read_series(tmp_path)


def test_nothing_of_the_patient_is_in_a_refusal_or_in_the_facts(tmp_path):
    save(tmp_path, series_of(phantom(), change=tilted))
    with pytest.raises(DataError) as refusal:
        read_series(tmp_path)
    facts = read_series(save(tmp_path / "good", series_of(phantom()))).facts

    for text in (str(refusal.value), repr(facts)):
        assert not any(word in text for word in ("Doe", "4711", "1970", str(tmp_path)))
