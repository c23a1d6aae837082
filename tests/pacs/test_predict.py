"""A study in a PACS is answered, and the answer is in the PACS: there and back, voxel for voxel."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from dicom_samples import SERIES, STUDY, phantom, save, series_of
from pacs_on_loopback import AE_TITLE, DICOM, HTTP, PASSWORD, USER
from pydicom import dcmread
from released_samples import write_model
from typer.testing import CliRunner

from crisp_client.cli import app
from crisp_client.pacs.fetch import fetch
from crisp_client.pacs.places import place_named
from crisp_client.pacs.query import question_of
from crisp_client.prediction.exchange import name_of
from crisp_core.files.dicom.masks import read_mask
from crisp_core.files.dicom.series import read_series
from crisp_core.files.volumes import read_labels

pytestmark = pytest.mark.slow

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


def home_in(folder: Path) -> Path:
    home = folder / "home"
    home.mkdir()
    (home / "pacs.toml").write_text(PLACES)
    secret = home / "secret.txt"
    secret.write_text(f"{USER}\n{PASSWORD}\n")
    secret.chmod(0o600)
    return home


@pytest.mark.parametrize("kind", ["dicomweb", "dimse"])
def test_an_answer_goes_back_into_the_pacs_and_is_the_prediction(
    pacs, tmp_path: Path, kind: str
) -> None:
    scan = save(tmp_path / "scan", series_of(phantom(5, 20, 24)))
    pacs.push(scan)
    write_model(tmp_path / "model")
    home, out = home_in(tmp_path), tmp_path / "out"
    words = ["predict", str(tmp_path / "model"), STUDY, "--pacs", kind, "--send-to", kind]
    words += ["-o", str(out), "--format", "nifti", "--format", "sr", "--format", "rtstruct"]
    words += ["--home", str(home), "--threads", "1"]

    for _ in range(2):  # asked again it is there already, and sent again it is there once
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.stderr

    place, found = place_named(home / "pacs.toml", kind), {}
    for modality in ("MR", "SEG", "SR", "RTSTRUCT"):
        question = question_of(STUDY, None, (), modality)
        [found[modality]] = fetch(place, question, tmp_path / "back")
    assert {name: one.count for name, one in found.items()} == {
        "MR": 5, "SEG": 1, "SR": 1, "RTSTRUCT": 1,
    }  # fmt: skip
    labels = read_labels(out / name_of(SERIES) / "labels.nii.gz").array
    assert labels.any()
    series = read_series(scan)
    for name in ("SEG", "RTSTRUCT"):
        [path] = found[name].folder.iterdir()
        back = read_mask(path, series, {"LV": 1, "MYO": 2})
        np.testing.assert_array_equal(back.array, labels)
    [report] = found["SR"].folder.iterdir()
    kept = dcmread(out / name_of(SERIES) / "report.dcm")
    assert dcmread(report) == kept
    assert "Research result, not for diagnosis" in str(kept)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as in test_fetch
def test_a_pacs_that_does_not_answer_costs_nothing_of_the_prediction(pacs, tmp_path: Path) -> None:
    scan = save(tmp_path / "scan", series_of(phantom(5, 20, 24)))
    write_model(tmp_path / "model")
    home = home_in(tmp_path)
    (home / "pacs.toml").write_text(PLACES.replace(str(DICOM), "9"))
    words = ["predict", str(tmp_path / "model"), str(scan), "--send-to", "dimse"]
    words += ["-o", str(tmp_path / "out"), "--format", "dicom-seg", "--home", str(home)]

    done = CliRunner().invoke(app, [*words, "--threads", "1"])

    assert done.exit_code == 3
    assert (tmp_path / "out" / "scan" / "segmentation.dcm").exists()


@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="apt-get install dcmtk")
def test_another_toolkit_reads_what_was_written(tmp_path: Path) -> None:
    scan = save(tmp_path / "scan", series_of(phantom(5, 20, 24)))
    write_model(tmp_path / "model")
    words = ["predict", str(tmp_path / "model"), str(scan), "-o", str(tmp_path / "out")]
    words += ["--format", "sr", "--format", "rtstruct", "--threads", "1"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr

    for name in ("segmentation", "structures", "report"):
        path = tmp_path / "out" / "scan" / f"{name}.dcm"
        subprocess.run(["dcmdump", "-q", path], check=True, capture_output=True)
    shown = subprocess.run(
        ["dsrdump", tmp_path / "out" / "scan" / "report.dcm"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "Research result, not for diagnosis" in shown.stdout
    assert "mL" in shown.stdout
