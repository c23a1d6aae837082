from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from synthetic import AFFINE, write_site, write_volume

from crisp_core.errors import DataError
from crisp_core.files.cohort import read_cohort
from crisp_core.files.examine import examine, open_case

SHARED = Path(os.environ.get("CRISP_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
SHAPE = (24, 20, 3)


def ramp() -> np.ndarray:
    return np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)


MASK = np.ones(SHAPE, np.uint8)
BAD_IMAGES = {
    "NaN": np.where(ramp() < 5, np.nan, ramp()),
    "infinity": np.where(ramp() < 5, np.inf, ramp()),
    "constant": np.full(SHAPE, 3, np.int16),
    "all zero": np.zeros(SHAPE, np.int16),
    "constant channel": np.stack([ramp(), np.zeros(SHAPE)], axis=-1),
}
BAD_MASKS = {
    "shape": (MASK[:, :, :2], AFFINE),
    "spacing": (MASK, AFFINE @ np.diag([1, 1, 1.02, 1])),
    "mirrored": (MASK, AFFINE @ np.diag([-1, 1, 1, 1])),
    "unknown label": (MASK * 3, AFFINE),
    "negative label": (-MASK.astype(np.int16), AFFINE),
    "no integers": (MASK * np.float32(0.5), AFFINE),
}


def spoil(folder, kind):
    """Put something bad in the place of image or mask of case c1."""
    image, label = folder / "images" / "c1.nii.gz", folder / "labels" / "c1.nii.gz"
    if kind in BAD_IMAGES:
        write_volume(image, BAD_IMAGES[kind])
    elif kind in BAD_MASKS:
        write_volume(label, *BAD_MASKS[kind])
    elif kind == "truncated":
        image.write_bytes(image.read_bytes()[:-200])
    elif kind == "no NIfTI":
        label.write_bytes(b"hello")


SENTENCES = {
    "NaN": "finite intensities, got 5 that are not (channel 0 of the image of case 'c1')",
    "infinity": "finite intensities, got 5 that are not",
    "constant": "got 3 everywhere",
    "all zero": "got 0 everywhere",
    "constant channel": "channel 1 of the image of case 'c1'",
    "shape": "the image's shape (3, 20, 24), got (2, 20, 24) (mask of case 'c1')",
    "spacing": "within 1 % of the image's (8, 1.5, 1.5), got (8.16, 1.5, 1.5)",
    "mirrored": "the image's place and orientation, got another affine (mask of case 'c1')",
    "unknown label": "labels 0 to 2, got 3 (mask of case 'c1')",
    "negative label": "labels 0 to 2, got -1",
    "no integers": "Expected integer labels, got 0.5 (file 'c1.nii.gz')",
    "truncated": "a readable NIfTI file",
    "no NIfTI": "a readable NIfTI file",
}


def test_a_sound_site_has_no_findings(tmp_path):
    assert examine(write_site(tmp_path), 2) == ()


@pytest.mark.parametrize("kind", SENTENCES)
def test_a_bad_case_is_found_and_told_in_a_sentence(tmp_path, kind):
    folder = write_site(tmp_path, 3, shape=SHAPE)
    spoil(folder, kind)

    (finding,) = examine(folder, 2)

    assert (finding.level, finding.case_id) == ("error", "c1")
    assert SENTENCES[kind] in finding.sentence


@pytest.mark.parametrize("kind", SENTENCES)
def test_a_bad_case_does_not_open(tmp_path, kind):
    folder = write_site(tmp_path, 3, shape=SHAPE)
    spoil(folder, kind)

    with pytest.raises(DataError) as caught:
        open_case(read_cohort(folder, "s", 2).cases[1], 2)

    assert SENTENCES[kind] in str(caught.value)


def test_examining_does_not_stop_at_the_first_bad_case(tmp_path):
    folder = write_site(tmp_path, 4, shape=SHAPE)
    spoil(folder, "NaN")
    spoil(folder, "unknown label")
    (folder / "labels" / "c2.nii.gz").unlink()
    (folder / "images" / "c3.nii.gz").write_bytes(b"")

    findings = examine(folder, 2)

    assert [finding.case_id for finding in findings] == ["c2", "c1", "c1", "c3"]


def test_an_empty_mask_is_a_warning(tmp_path):
    folder = write_site(tmp_path, 2, shape=SHAPE)
    write_volume(folder / "labels" / "c1.nii.gz", np.zeros(SHAPE, np.uint8))

    (finding,) = examine(folder, 2)

    assert (finding.level, finding.case_id) == ("warning", "c1")
    assert open_case(read_cohort(folder, "s", 2).cases[1], 2)


def test_a_mask_stored_in_other_axes_still_fits_its_image(tmp_path):
    folder = write_site(tmp_path, 1, shape=SHAPE)
    swapped = AFFINE[:, [1, 0, 2, 3]]
    write_volume(folder / "labels" / "c0.nii.gz", np.ones((20, 24, 3), np.uint8), swapped)

    assert examine(folder, 2) == ()


def test_the_table_corrects_a_lost_spacing(tmp_path):
    folder = write_site(tmp_path, 1)
    (folder / "cases.csv").write_text("case,patient,spacing_mm\nc0,p0,9 1.2 1.3\n")

    image, labels = open_case(read_cohort(folder, "s", 2).cases[0])

    assert image.grid.spacing_mm == labels.grid.spacing_mm == (9.0, 1.2, 1.3)


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no shared data sets in {SHARED}")
@pytest.mark.slow
def test_the_shared_sites_are_sound():
    folders = sorted(table.parent for table in SHARED.glob("s*/*/cases.csv"))

    assert len(folders) == 10
    assert [examine(folder, 2) for folder in folders] == [()] * 10
