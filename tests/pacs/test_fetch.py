"""Out of a real PACS comes, voxel for voxel, what was pushed into it; and into it what we send."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_samples import STUDY, phantom, save, segmentation, series_of
from pacs_on_loopback import AE_TITLE, DICOM, HTTP, PASSWORD, USER
from pydicom.uid import generate_uid

from crisp_client.pacs.fetch import fetch, send
from crisp_client.pacs.places import DicomwebPlace, DimsePlace, place_named
from crisp_client.pacs.query import question_of
from crisp_core.errors import ConnectionFailedError, UntrustedError
from crisp_core.files.dicom.deidentify import keyed_uid
from crisp_core.files.dicom.masks import read_mask
from crisp_core.files.dicom.series import read_series

KINDS = ["dicomweb", "dimse"]
OTHER = generate_uid(entropy_srcs=["other"])


def places(folder: Path) -> Path:
    """Write pacs.toml as a hospital does."""
    (folder / "secret.txt").write_text(f"{USER}\n{PASSWORD}\n")
    (folder / "secret.txt").chmod(0o600)
    (folder / "pacs.toml").write_text(
        f'[dicomweb]\nkind = "dicomweb"\nhost = "127.0.0.1"\nport = {HTTP}\n'
        'credentials = "secret.txt"\n'
        f'[dimse]\nkind = "dimse"\nhost = "127.0.0.1"\nport = {DICOM}\n'
        f'ae_title = "{AE_TITLE}"\n'
    )
    return folder / "pacs.toml"


@pytest.fixture(params=KINDS)
def place(request, tmp_path) -> DicomwebPlace | DimsePlace:
    return place_named(places(tmp_path), request.param)


@pytest.mark.slow
def test_what_is_fetched_is_what_was_pushed(pacs, place, tmp_path):
    source = save(tmp_path / "source", series_of(phantom(5, 40, 32)))
    pacs.push(source)

    [fetched] = fetch(place, question_of(None, "A1", ()), tmp_path / "out")

    assert (fetched.count, fetched.modality, fetched.made_now) == (5, "MR", True)
    one, other = read_series(source), read_series(fetched.folder)
    np.testing.assert_array_equal(one.volume.array, other.volume.array)
    assert one.volume.grid == other.volume.grid
    assert one.facts == other.facts
    [again] = fetch(place, question_of(STUDY, None, ()), tmp_path / "out")
    assert not again.made_now


@pytest.mark.long
def test_only_what_is_asked_for_is_fetched(pacs, place, tmp_path):
    pacs.push(save(tmp_path / "a", series_of(phantom(2))))
    pacs.push(save(tmp_path / "b", series_of(phantom(3), series=OTHER)))

    question = question_of(None, None, ["PatientID=4711"], modality="MR")
    counts = sorted(one.count for one in fetch(place, question, tmp_path / "out"))

    assert counts == [2, 3]
    with pytest.raises(ConnectionFailedError, match="at least one series that matches, got none"):
        list(fetch(place, question_of(None, "B2", ()), tmp_path / "out"))
    with pytest.raises(ConnectionFailedError, match="got none"):
        list(fetch(place, question_of(STUDY, None, (), modality="CT"), tmp_path / "out"))


@pytest.mark.long
def test_what_is_kept_without_a_person_names_none(pacs, place, tmp_path):
    source = save(tmp_path / "source", series_of(phantom(3)))
    pacs.push(source)

    [fetched] = fetch(place, question_of(STUDY, None, ()), tmp_path / "out", key="key")

    np.testing.assert_array_equal(
        read_series(fetched.folder).volume.array, read_series(source).volume.array
    )
    assert fetched.folder.name == keyed_uid(read_series(source).facts.series_uid, "key")
    files = list(fetched.folder.iterdir())
    assert len(files) == 3
    assert not any(b"Doe" in path.read_bytes() or b"4711" in path.read_bytes() for path in files)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_a_mask_that_is_sent_comes_back_as_it_was(pacs, place, tmp_path, kind):
    source = save(tmp_path / "source", series_of(phantom(4, 30, 40)))
    series = read_series(source)
    labels = np.random.default_rng(0).integers(0, 3, (4, 30, 40)).astype(np.uint8)
    mask = save(tmp_path / "mask", [segmentation(series, labels, kind)])
    pacs.push(source)

    send([mask / "000.dcm"], place)
    send([mask / "000.dcm"], place)  # sent twice it is there once

    if kind == "LABELMAP":  # this PACS takes the class by C-STORE but does not send it by C-GET
        place = place_named(tmp_path / "pacs.toml", "dicomweb")
    question = question_of(STUDY, None, (), modality="SEG")
    [fetched] = fetch(place, question, tmp_path / "out")
    [path] = fetched.folder.iterdir()
    np.testing.assert_array_equal(
        read_mask(path, series).array, read_mask(mask / "000.dcm", series).array
    )


@pytest.mark.long
def test_a_wrong_password_is_a_sentence_without_it(pacs, tmp_path):
    places(tmp_path)
    (tmp_path / "secret.txt").write_text("crisp\nwrong one\n")

    with pytest.raises(ConnectionFailedError, match="got answer 401") as refused:
        list(
            fetch(
                place_named(tmp_path / "pacs.toml", "dicomweb"),
                question_of(STUDY, None, ()),
                tmp_path / "out",
            )
        )

    assert "wrong one" not in str(refused.value)


@pytest.mark.long
def test_credentials_that_others_can_read_are_not_used(pacs, tmp_path):
    path = places(tmp_path)
    (tmp_path / "secret.txt").chmod(0o644)

    with pytest.raises(UntrustedError, match="0644"):
        list(fetch(place_named(path, "dicomweb"), question_of(STUDY, None, ()), tmp_path / "out"))


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # pynetdicom's socket
@pytest.mark.parametrize("kind", KINDS)
def test_a_pacs_that_is_not_there_is_a_sentence(pacs, tmp_path, kind):
    text = places(tmp_path).read_text().replace(str(HTTP), "1").replace(str(DICOM), "1")
    (tmp_path / "pacs.toml").write_text(text)

    with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1:1"):
        list(
            fetch(
                place_named(tmp_path / "pacs.toml", kind),
                question_of(STUDY, None, ()),
                tmp_path / "out",
            )
        )

    assert not (tmp_path / "out").exists()
