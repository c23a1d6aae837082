from __future__ import annotations

import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from crisp_core.errors import UsageError
from crisp_core.files.phantom_cohort import KINDS, write_phantom


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.nii.gz"))
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes(kind: str, tmp_path: Path) -> None:
    for name in ("once", "again"):
        write_phantom(kind, tmp_path / name, seed=1, patients=1, size=40)

    assert digests(tmp_path / "once") == digests(tmp_path / "again")


def test_another_seed_gives_other_patients(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_phantom("brain", tmp_path / str(seed), seed=seed, patients=1, size=40)

    first, second = (set(digests(tmp_path / str(seed)).values()) for seed in (1, 2))
    assert not first & second


def test_more_patients_leave_the_earlier_ones_as_they_were(tmp_path: Path) -> None:
    for count in (1, 2):
        write_phantom("cardiac", tmp_path / str(count), seed=1, patients=count, size=40)

    few, many = digests(tmp_path / "1"), digests(tmp_path / "2")
    assert few.items() < many.items()


@pytest.mark.parametrize("kind", KINDS)
def test_image_and_labels_share_a_grid_of_true_spacing(kind: str, tmp_path: Path) -> None:
    sites = write_phantom(kind, tmp_path, seed=1, patients=1, size=40)

    assert tuple(site.name for site in sites) == KINDS[kind].sites
    for path in tmp_path.rglob("images/*.nii.gz"):
        image = nib.load(path)
        label = nib.load(path.parents[1] / "labels" / path.name)
        steps_mm = np.linalg.norm(image.affine[:3, :3], axis=0)
        assert image.shape == label.shape
        assert np.array_equal(image.affine, label.affine)
        assert np.allclose(image.header.get_zooms(), steps_mm, rtol=1e-5)
        assert (image.get_data_dtype(), label.get_data_dtype()) == (np.int16, np.uint8)
        assert np.allclose(image.get_qform(), image.get_sform(), atol=1e-3)
        assert int(np.asarray(label.dataobj).max()) == len(KINDS[kind].labels)


def test_the_table_names_every_case_and_its_patient(tmp_path: Path) -> None:
    site, *_ = write_phantom("cardiac", tmp_path, seed=1, patients=2, size=40)

    lines = (site / "cases.csv").read_text(encoding="utf-8").splitlines()

    assert lines[0] == "case,patient,group,phase"
    assert lines[1:3] == ["a001_ED,a001,normal,ED", "a001_ES,a001,normal,ES"]
    assert len(lines) == 1 + len(list((site / "images").iterdir()))


def test_an_unknown_kind_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cardiac, vessel-contrast, vessel-covid, brain"):
        write_phantom("liver", tmp_path, seed=0)


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "hospital-3").mkdir()

    with pytest.raises(UsageError, match="already there"):
        write_phantom("brain", tmp_path, seed=0, patients=1, size=40)

    assert [path.name for path in tmp_path.iterdir()] == ["hospital-3"]
