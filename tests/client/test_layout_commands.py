from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import nibabel as nib
import numpy as np
from layout_samples import MNMS, acdc, brats, mnms, msd, nnunet
from synthetic import write_site, write_volume
from typer.testing import CliRunner

from crisp_client.cli import app
from crisp_core.files.cohort import read_cohort
from crisp_core.files.examine import open_case
from crisp_core.files.layouts.registry import read_data_set


def typed(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_what_can_be_used_as_it_is_is_linked_and_the_rest_written(tmp_path):
    msd(tmp_path / "Task05")

    done = typed("import", tmp_path / "Task05", tmp_path / "out", "--classes", "PZ,transition-zone")

    assert done.exit_code == 0, done.output
    assert "4 links, 0 images and 0 masks written" in done.output
    folder = tmp_path / "out" / "Task05"
    assert (folder / "images" / "prostate_01.nii.gz").is_symlink()
    cohort = read_cohort(folder, "s", 2, follow_links=True)
    assert open_case(cohort.cases[0], 2)[0].array.shape[0] == 2


def test_a_frame_and_its_mask_are_written_and_equal_what_is_read_in_place(tmp_path):
    data = mnms(tmp_path / "OpenDataset")

    done = typed("import", data, tmp_path / "out", "--select", "vendor=B", "--classes", "RV,LV")

    assert done.exit_code == 0, done.output
    assert "0 links, 4 images and 4 masks written" in done.output
    assert 'classes = ["RV", "LV"]' in done.output
    [case, _] = read_cohort(tmp_path / "out" / "B2", "B2", 2).cases
    [there] = [c for c in read_data_set(data).cases if c.case_id == "A1D0Q7_ED"]
    image, labels = open_case(case, 2)
    other_image, other_labels = open_case(there)
    np.testing.assert_array_equal(image.array, other_image.array)
    np.testing.assert_array_equal(labels.array == 1, other_labels.array == 3)
    assert nib.load(case.images[0]).get_data_dtype() == np.int16
    assert (case.patient_id, case.phase, case.group) == ("A1D0Q7", "ED", "HCM")


def test_labels_with_a_gap_are_numbered_without_it(tmp_path):
    brats(tmp_path / "b", ["BraTS2021_00000"])

    done = typed("import", tmp_path / "b", tmp_path / "out")

    assert "4 links, 0 images and 1 masks written" in done.output
    assert 'classes = ["NCR", "ED", "ET"]' in done.output
    [case] = read_cohort(tmp_path / "out" / "BraTS", "s", 3, follow_links=True).cases
    assert open_case(case, 3)[1].array.max() == 3


def test_an_import_does_not_write_over_one(tmp_path):
    acdc(tmp_path / "a")
    typed("import", tmp_path / "a", tmp_path / "out")

    again = typed("import", tmp_path / "a", tmp_path / "out")

    assert again.exit_code == 2
    assert "Expected no folder 'ACDC', got one that is there" in again.output


def test_centres_of_flamby_become_sites_with_its_own_split(tmp_path, monkeypatch):
    class FedIXITiny:
        """As FLamby calls it: tensors (1, x, y, z), masks one channel a class."""

        def __init__(self, *, center: int, train: bool, pooled: bool) -> None:
            assert not pooled
            self.count, self.center = (2 if train else 1), center

        def __len__(self) -> int:
            return self.count

        def __getitem__(self, number: int):
            image = np.random.default_rng(10 * self.center + number).normal(size=(1, 8, 9, 6))
            brain = image[0] > 0
            return image.astype(np.float32), np.stack([~brain, brain]).astype(np.float32)

    module = ModuleType("flamby.datasets.fed_ixi")
    module.__dict__.update(vars(SimpleNamespace(NUM_CLIENTS=3, FedIXITiny=FedIXITiny)))
    for name in ("flamby", "flamby.datasets"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "flamby.datasets.fed_ixi", module)

    done = typed("import", "fed_ixi", tmp_path, "--layout", "flamby")

    assert done.exit_code == 0, done.output
    cohort = read_cohort(tmp_path / "centre-2", "c", 1)
    assert [(case.case_id, case.split) for case in cohort.cases] == [
        ("test-0000", "test"),
        ("train-0000", "train"),
        ("train-0001", "train"),
    ]
    image, labels = open_case(cohort.cases[1], 1)
    np.testing.assert_array_equal(labels.array == 1, image.array[0] > 0)


def test_without_flamby_one_sentence_says_so(tmp_path):
    done = typed("import", "fed_ixi", tmp_path, "--layout", "flamby")

    assert done.exit_code == 2
    assert "Expected FLamby with this data set's needs" in done.output


def test_describe_says_what_is_there(tmp_path):
    done = typed("describe", mnms(tmp_path / "OpenDataset"))

    assert done.exit_code == 0, done.output
    assert "OpenDataset: mnms; 10 cases of 5 patients at 5 sites" in done.output
    assert "B3 (B): 2 cases, 1 patients, median voxel 8 x 1.5 x 1.5 mm" in done.output
    assert "label 1: LV; in 10 of 10" in done.output


def test_describe_ends_with_3_where_a_case_is_wrong_and_still_tells_the_others(tmp_path):
    nnunet(tmp_path / "d")
    (tmp_path / "d" / "labelsTr" / "case_01.nii.gz").write_bytes(b"no image")

    done = typed("describe", tmp_path / "d", "--json")

    assert done.exit_code == 3
    found = json.loads(done.stdout)
    assert [case["case"] for case in found["cases"]] == ["case_02", "case_03"]
    assert len(found["errors"]) == 1
    assert found["labels"][0]["names"] == ["TZ"]


def test_the_page_shows_each_case_and_needs_no_other_file(tmp_path):
    for site in ("north", "south"):
        write_site(tmp_path / "d" / site, 2)

    done = typed("describe", tmp_path / "d", "--page", tmp_path / "page.html")

    page = (tmp_path / "page.html").read_text()
    assert done.exit_code == 0, done.output
    assert page.count('src="data:image/png;base64,') == 4
    assert "north.c0" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_name_that_is_a_script_is_text_on_the_page(tmp_path):
    write_site(tmp_path / "d", {"<script>x": "p0"})

    typed("describe", tmp_path / "d", "--page", tmp_path / "page.html")

    assert "<script>x" not in (tmp_path / "page.html").read_text()


def test_a_wrong_layout_and_a_wrong_condition_are_told_the_right_ones(tmp_path):
    wrong = typed("describe", tmp_path, "--layout", "mmns")
    odd = typed("describe", tmp_path, "--select", "brand=A")

    assert (wrong.exit_code, odd.exit_code) == (2, 2)
    assert "mnms" in wrong.output
    assert "vendor" in odd.output


def test_both_patients_and_codes_are_those_of_the_table(tmp_path):
    found = json.loads(typed("describe", mnms(tmp_path), "--json").stdout)

    assert {case["patient"] for case in found["cases"]} == set(MNMS)


def test_a_site_of_voxels_of_one_millimetre_may_have_lost_its_spacing(tmp_path):
    write_site(tmp_path / "d" / "north", 2)
    write_site(tmp_path / "d" / "south", 2)
    for path in (tmp_path / "d" / "south").rglob("*.nii.gz"):
        write_volume(path, np.asarray(nib.load(path).dataobj).copy(), np.diag([-1.0, -1, 1, 1]))

    found = json.loads(typed("describe", tmp_path / "d", "--json").stdout)

    [odd] = [line for line in found["oddities"] if "1 x 1 x 1" in line]
    assert "'south'" in odd
