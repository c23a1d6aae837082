"""A really trained network answers a real GE series, in every format, on the series' own grid."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from federation_on_disk import tiny_options
from PIL import Image
from pydicom import Dataset, dcmread
from typer.testing import CliRunner

from crisp_client.cli import app
from crisp_core.files.dicom.masks import read_mask
from crisp_core.files.dicom.series import Series, read_phases
from crisp_core.files.orientation import to_house
from crisp_core.files.volumes import read_labels
from crisp_core.numerics.metrics import dice
from crisp_core.schema.study import Study
from crisp_server.simulate import carry_on, start

SHARED = Path(os.environ.get("CRISP_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
SERIES = SHARED / "sunnybrook_dicom" / "SC-HF-I-1"
FORMATS = ("nifti", "dicom-seg", "rtstruct", "sr", "png", "pdf")
PHASE = 1
pytestmark = [
    pytest.mark.data,
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not SERIES.is_dir(), reason=f"no shared data sets in {SHARED}"),
    pytest.mark.filterwarnings("ignore:Invalid value for VR UI"),  # the archive that wrote them
]


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on healthy volunteers, then answer one phase of a patient; return the folder."""
    folder = tmp_path_factory.mktemp("real")
    data = str(placed(SHARED / "sunnybrook_lv" / "healthy", folder / "healthy"))
    raw = {
        "name": "hearts",
        "seed": 1,
        "classes": ["LV"],
        "sites": {"healthy": {"role": "source", "data": data}},
        "model": {"width": 8},
        "images": {"size": [96, 96]},
        "training": {"steps": 240, "batch_size": 8, "learning_rate": 3e-3},
        "crisp": {"generations": 2, "perturbations": 3, "phase_shares": [3, 1]},
        "federation": {"rounds": 1},
        "evaluation": {"bootstrap_samples": 100},
    }
    run = start(Study.model_validate_json(json.dumps(raw)), folder / "run", tiny_options())
    carry_on(run, lambda _: None)
    words = ["predict", str(run.path), str(SERIES / "dicom"), "--phase", str(PHASE)]
    words += ["-o", str(folder / "out"), "--home", str(folder / "home"), "--threads", "1"]
    for name in FORMATS:
        words += ["--format", name]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    return folder / "out" / "dicom"


@pytest.fixture(scope="module")
def series() -> Series:
    return read_phases(SERIES / "dicom")[PHASE]


def placed(site: Path, folder: Path) -> Path:
    """Copy a site whose files lost their places; they get that of the series, of one scanner.

    In those files the rows run up and the slices the other way: without this the network would
    see the series turned.
    """
    affine = np.array(read_phases(SERIES / "dicom")[PHASE].volume.grid.affine)
    affine[:3, 1:3] *= -1
    for path in [*site.glob("images/*.nii.gz"), *site.glob("labels/*.nii.gz")]:
        target = folder / path.relative_to(site)
        target.parent.mkdir(parents=True, exist_ok=True)
        file = nib.load(path)
        nib.save(nib.Nifti1Image(np.asarray(file.dataobj), affine), target)
    shutil.copy(site / "cases.csv", folder)
    return folder


def as_array(picture: Path) -> np.ndarray:
    with Image.open(picture) as image:
        return np.asarray(image)


def headers(series: Series) -> list[Dataset]:
    return [dcmread(path, stop_before_pixels=True) for path in series.files]


def test_the_labels_lie_where_the_headers_say_that_the_images_lie(
    answer: Path, series: Series
) -> None:
    """The scanner's own corners, in the NIfTI file's voxels, are whole numbers at its corners."""
    file = nib.load(answer / "labels.nii.gz")
    into_voxels, ends = np.linalg.inv(file.affine), []

    for header in headers(series):
        along, down = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
        row_mm, column_mm = (float(value) for value in header.PixelSpacing)
        for row, column in ((0, 0), (header.Rows - 1, 0), (0, header.Columns - 1)):
            place = np.array(header.ImagePositionPatient, float)
            place = place + column * column_mm * along + row * row_mm * down
            ends.append(into_voxels @ [-place[0], -place[1], place[2], 1])  # left is minus right
    ends = np.array(ends)[:, :3]

    np.testing.assert_allclose(ends, np.rint(ends), atol=2e-3)  # headers are rounded to 1e-4 mm
    assert ends.min() > -0.5
    assert (np.rint(ends.max(axis=0)) == np.array(file.shape) - 1).all()


def test_the_cavity_is_found_where_it_was_drawn(answer: Path, series: Series) -> None:
    pictures = [SERIES / "labels_png" / f"{path.stem}.png" for path in series.files]
    drawn = np.stack([as_array(picture) for picture in pictures]) == 1
    reference = to_house(drawn.transpose(2, 1, 0), series.volume.grid)

    found = read_labels(answer / "labels.nii.gz").array == 1

    assert dice(found, reference) > 0.4  # a network of a minute, of another patient


def test_masks_read_back_are_the_prediction_voxel_for_voxel(answer: Path, series: Series) -> None:
    labels = read_labels(answer / "labels.nii.gz").array

    assert labels.any()
    for name in ("segmentation", "structures"):
        back = read_mask(answer / f"{name}.dcm", series, {"LV": 1})
        np.testing.assert_array_equal(back.array, labels)


def test_the_report_says_the_volume_and_the_flag_of_the_prediction(answer: Path) -> None:
    record = json.loads((answer / "prediction.json").read_text())
    labels, report = nib.load(answer / "labels.nii.gz"), str(dcmread(answer / "report.dcm"))
    ml = float((np.asarray(labels.dataobj) == 1).sum() * abs(np.linalg.det(labels.affine)) / 1000)

    assert record["structures"]["LV"]["volume_ml"] == pytest.approx(ml, rel=1e-5)
    values = re.findall(r"Numeric Value +DS: '([0-9.]+)'", report)
    assert [float(value) for value in values] == [pytest.approx(ml, rel=1e-5)]
    assert f"Code Value                          SH: '{record['flag']['decision']}'" in report


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="apt-get install dicom3tools")
@pytest.mark.parametrize("name", ["segmentation", "structures", "report"])
def test_the_validator_finds_no_error_but_that_of_the_scanners_uids(
    answer: Path, name: str
) -> None:
    words = ["dciodvfy", "-new", answer / f"{name}.dcm"]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stderr

    errors = [line for line in said.splitlines() if line.startswith("Error")]
    assert [line for line in errors if "Leading zeroes" not in line] == []


def test_a_page_and_a_picture_are_written(answer: Path) -> None:
    assert (answer / "overview.pdf").read_bytes().startswith(b"%PDF")
    with Image.open(answer / "overview.png") as picture:
        assert picture.size[0] > 500
