"""Pushed into a PACS, heard, segmented, sent back, fetched again: the same voxels all the way."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_samples import SERIES, STUDY, phantom, save, series_of
from listener_process import done, listener, until
from pacs_on_loopback import AE_TITLE, DICOM, HTTP, LISTEN, PASSWORD, USER
from pydicom import dcmread
from released_samples import write_model

from crisp_client.pacs.fetch import fetch
from crisp_client.pacs.places import place_named
from crisp_client.pacs.query import question_of
from crisp_core.files.dicom.masks import read_mask
from crisp_core.files.dicom.series import read_series
from crisp_core.files.orientation import to_file

PLACES = f"""
[dicomweb]
kind = "dicomweb"
host = "127.0.0.1"
port = {HTTP}
credentials = "secret.txt"

[dimse]
kind = "dimse"
host = "127.0.0.1"
port = {DICOM}
ae_title = "{AE_TITLE}"
"""


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("back", ["dicomweb", "dimse"])
def test_what_a_listener_sends_back_is_the_prediction(pacs, tmp_path, back):
    home, source = tmp_path / "home", save(tmp_path / "scan", series_of(phantom(5, 20, 24)))
    write_model(tmp_path / "model")
    home.mkdir()
    (home / "secret.txt").write_text(f"{USER}\n{PASSWORD}\n")
    (home / "secret.txt").chmod(0o600)
    (home / "pacs.toml").write_text(PLACES)
    words = [word for name in ("nifti", "dicom-seg", "sr") for word in ("--format", name)]
    words += ["--model", str(tmp_path / "model"), "--send-to", back, "--from", "HOSPITAL"]
    pacs.push(source)

    with listener(home, *words, port=LISTEN):
        pacs.send_on("listener")
        until(done(home).exists, 300)

    [labels] = (home / "inbox" / "results" / SERIES).rglob("labels.nii.gz")
    predicted = np.asarray(nib.load(labels).dataobj)
    series = read_series(source)
    for kind in ("dicomweb", "dimse"):
        question = question_of(STUDY, None, (), modality="SEG")
        [fetched] = fetch(place_named(home / "pacs.toml", kind), question, tmp_path / kind)
        [path] = fetched.folder.iterdir()
        mask = read_mask(path, series, {"LV": 1, "MYO": 2})
        np.testing.assert_array_equal(to_file(mask.array, series.volume.grid), predicted)
        question = question_of(STUDY, None, (), modality="SR")
        [report] = fetch(place_named(home / "pacs.toml", kind), question, tmp_path / kind)
        [path] = report.folder.iterdir()
        assert dcmread(path) == dcmread(labels.with_name("report.dcm"))
        assert valid(path) == ""
    assert predicted.any()


def valid(path: Path) -> str:
    """Return what dciodvfy calls an error in a file."""
    if not shutil.which("dciodvfy"):
        pytest.skip("apt-get install dicom3tools")
    done_ = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
    return "\n".join(line for line in done_.stderr.splitlines() if line.startswith("Error"))
