"""Nothing of a person stays in a copy, and everything that an image needs does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_samples import enhanced, image, phantom, save, segmentation, series_of
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from crisp_core.errors import DataError
from crisp_core.files.dicom.deidentify import (
    KEPT,
    SEQUENCES,
    UIDS,
    burn_in_signs,
    keyed_uid,
    write_deidentified,
)
from crisp_core.files.dicom.masks import read_mask
from crisp_core.files.dicom.opening import read_header
from crisp_core.files.dicom.series import read_series

SECRETS = (b"Doe", b"4711", b"19700101", b"20260101", b"Smith", b"Ward 7", b"Main St")


def identified(dataset: Dataset, number: int = 0) -> None:
    """Write who it is wherever a hospital might."""
    dataset.InstitutionName, dataset.InstitutionAddress = "Ward 7", "Main St"
    dataset.ReferringPhysicianName = dataset.OperatorsName = "Smith"
    dataset.SeriesDescription = dataset.StudyDescription = "Doe follow-up"
    dataset.AcquisitionDate = dataset.ContentDate = "20260101"
    dataset.DeviceSerialNumber = dataset.ProtocolName = "Ward 7"
    dataset.private_block(0x0029, "MAKER", create=True).add_new(1, "LO", "Doe private")
    request = Dataset()
    request.RequestedProcedureDescription = "for Smith"
    dataset.RequestAttributesSequence = [request]


def copied(folder: Path, target: Path, key: str = "key") -> Path:
    for path in sorted(folder.iterdir()):
        write_deidentified(path, target / path.name, key)
    return target


@pytest.mark.parametrize("kind", ["single", "enhanced"])
def test_no_word_of_a_person_is_in_a_copy_and_the_volume_is_the_same(tmp_path, kind):
    made = series_of(phantom()) if kind == "single" else [enhanced(phantom())]
    for dataset in made:
        identified(dataset)
    source = save(tmp_path / "source", made)
    before = read_series(source)

    after = read_series(copied(source, tmp_path / "copy"))

    np.testing.assert_array_equal(before.volume.array, after.volume.array)
    assert before.volume.grid == after.volume.grid
    for path in (tmp_path / "copy").iterdir():
        data = path.read_bytes()
        assert [word for word in SECRETS if word in data] == []
        uids = [before.facts.series_uid, before.facts.study_uid, *before.facts.instance_uids]
        assert not any(uid.encode() in data for uid in uids)


def test_the_words_that_are_looked_for_are_in_the_source(tmp_path):
    made = series_of(phantom(1))
    identified(made[0])
    data = (save(tmp_path, made) / "000.dcm").read_bytes()

    assert [word for word in SECRETS if word not in data] == []


def test_a_mask_finds_its_series_again_under_the_same_key_only(tmp_path):
    source = save(tmp_path / "source", series_of(phantom(4, 30, 40)))
    labels = np.random.default_rng(0).integers(0, 3, (4, 30, 40)).astype(np.uint8)
    mask = save(tmp_path / "mask", [segmentation(read_series(source), labels, "BINARY")])

    series = read_series(copied(source, tmp_path / "a"))
    same = copied(mask, tmp_path / "b") / "000.dcm"
    other = copied(mask, tmp_path / "c", key="another") / "000.dcm"

    np.testing.assert_array_equal(
        read_mask(same, series).array, read_mask(mask / "000.dcm", read_series(source)).array
    )
    with pytest.raises(DataError, match="in the series' space"):
        read_mask(other, series)


def test_a_keyed_uid_is_a_uid_and_depends_on_both() -> None:
    uid = keyed_uid("1.2.3", "key")

    assert uid == keyed_uid("1.2.3", "key")
    assert len({uid, keyed_uid("1.2.4", "key"), keyed_uid("1.2.3", "other")}) == 3
    assert len(uid) <= 64


def test_every_word_of_the_lists_is_of_the_standard_and_of_its_kind() -> None:
    assert all(dictionary_VR(word) == "SQ" for word in SEQUENCES)
    assert not any(dictionary_VR(word) in {"SQ", "PN", "DA", "DT", "TM", "AS"} for word in KEPT)
    assert not KEPT & UIDS


def test_an_image_from_a_scanner_bears_no_sign_of_burnt_in_text(tmp_path):
    save(tmp_path, [image(phantom(1)[0])])

    assert list(burn_in_signs(read_header(tmp_path / "000.dcm"))) == []


@pytest.mark.parametrize(
    ("change", "sign"),
    [
        ({"BurnedInAnnotation": "YES"}, "BurnedInAnnotation is YES"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"}, "secondary capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}, "ultrasound"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "a screen"),
        ({"PhotometricInterpretation": "RGB"}, "coloured"),
    ],
)
def test_a_picture_that_may_show_a_name_is_pointed_out(tmp_path, change, sign):
    dataset = image(phantom(1)[0])
    for keyword, value in change.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    save(tmp_path, [dataset])

    signs = write_deidentified(tmp_path / "000.dcm", tmp_path / "copy.dcm", "key")

    assert any(sign in found for found in signs)


def test_the_source_is_not_touched(tmp_path):
    save(tmp_path, series_of(phantom(1)))
    before = (tmp_path / "000.dcm").read_bytes()

    write_deidentified(tmp_path / "000.dcm", tmp_path / "copy.dcm", "key")

    assert (tmp_path / "000.dcm").read_bytes() == before
    assert dcmread(tmp_path / "copy.dcm").PatientIdentityRemoved == "YES"
