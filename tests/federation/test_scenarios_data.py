"""S13 and S14: cases that cannot be read, and hospitals whose images are not what they seem."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from federation.deployment import Federation, federation, small_study
from federation.hosts import needs_hosts
from synthetic import write_site

from crisp_core.errors import StudyError
from crisp_core.files.phantom_cohort import write_phantom

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900), needs_hosts]

PATIENTS = 8
VENDORS = {"east": "vendor-a", "north": "vendor-b", "south": "vendor-c", "west": "vendor-d"}


def rewritten(path: Path, change: Callable[[np.ndarray, np.ndarray], tuple]) -> None:
    """Write a volume again with other voxels or another grid."""
    old = nib.load(path)
    array, affine = change(np.asanyarray(old.dataobj), old.affine)
    nib.save(nib.Nifti1Image(array, affine), path)


def transposed(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exchange two axes of the voxels and leave the header as it was."""
    return np.swapaxes(array, 0, 2).copy(), affine


def swapped(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give label 1 the number 3 and the other way round."""
    return np.choose(array, [0, 3, 2, 1]).astype(array.dtype), affine


def ten_times(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write millimetres where tenths of millimetres are meant."""
    return array, affine @ np.diag([10.0, 10.0, 10.0, 1.0])


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Five hospitals: two as they should be, one transposed, one with swapped ids, one 10x."""
    folder = tmp_path_factory.mktemp("odd")
    write_phantom("cardiac", folder / "phantom", seed=1, patients=PATIENTS, size=48)
    roles = dict.fromkeys((*VENDORS, "centre"), "source")
    tables = small_study(
        roles,
        classes=["LV", "MYO", "RV"],
        images={"size": [32, 32]},
        federation={"rounds": 1, "quorum": 3, "timeout_s": 120},
    )
    with federation(folder, tables=tables) as whole:
        for site, vendor in (*VENDORS.items(), ("centre", "vendor-a")):
            whole.data(site).parent.mkdir(exist_ok=True)
            shutil.copytree(folder / "phantom" / vendor, whole.data(site))
        for place in ("images", "labels"):
            for path in (whole.data("north") / place).iterdir():
                rewritten(path, transposed)
            for path in (whole.data("south") / place).iterdir():
                rewritten(path, ten_times)
        for path in (whole.data("west") / "labels").iterdir():
            rewritten(path, swapped)
        whole.everybody()
        yield whole


@pytest.mark.flower
def test_s14_odd_hospitals_are_named_with_the_fix_before_round_1(odd: Federation) -> None:
    run = odd.run()

    said = run.wait(expect=StudyError.exit_code)

    assert run.count(event="asked", action="train") == 0
    assert "north (16 cases): volumes look turned" in said
    assert "export images and masks again" in said
    assert "south (16 cases): slices are 100 mm apart" in said
    assert "corrected as spacing_mm" in said
    assert "west (16 cases): 'LV' looks like 'RV'" in said
    assert "1 to 3, 3 to 1" in said
    assert "east (" not in said
    assert "centre (" not in said


@pytest.mark.flower
def test_s14_no_case_or_patient_is_named_to_the_coordinator(odd: Federation) -> None:
    names = {p.name.split(".")[0] for s in VENDORS for p in (odd.data(s) / "images").iterdir()}

    held = [path for path in odd.home.path.rglob("*") if path.is_file()]

    assert names
    texts = [path.read_bytes() for path in held]
    assert not [name for name in names if any(name.encode() in text for text in texts)]


@pytest.mark.parametrize(("whole_count", "unreadable", "ends"), [(1910, 48, 0), (1000, 999, 3)])
def test_s13_unreadable_cases_are_left_out_and_counted_or_stop_the_hospital(
    tmp_path: Path, whole_count: int, unreadable: int, ends: int
) -> None:
    """48 of 1,910 pass below a declared share; 999 of 1,000 stop the hospital and no other way."""
    with federation(tmp_path, tables=small_study({"east": "source"})) as whole:
        write_site(whole.data("east"), whole_count, shape=(12, 12, 2))
        images = sorted((whole.data("east") / "images").iterdir())
        for path in images[:unreadable]:
            path.write_bytes(path.read_bytes()[:40])
        whole.provision()
        whole.up()
        whole.join("east")
        whole.edit_settings("east", unreadable_share=0.05)

        said = whole.type("east", "crisp-client", "check", expect=ends)

        assert str(unreadable) in said
