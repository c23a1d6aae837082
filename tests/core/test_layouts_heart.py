from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from layout_samples import FRAME_COUNT, MNMS, NEW, OLD, SHAPE, acdc, mnms
from synthetic import write_volume

from crisp_core.errors import DataError
from crisp_core.files.examine import case_labels, open_case
from crisp_core.files.layouts.reading import read_places
from crisp_core.files.layouts.registry import layout_of, read_data_set
from crisp_core.schema.places import Place

CLASSES = ("LV", "MYO", "RV")


def names(cases):
    return [case.case_id for case in cases]


@pytest.mark.parametrize("new", [True, False])
def test_both_tables_of_mnms_give_the_same_cases(tmp_path, new):
    data = read_data_set(mnms(tmp_path, new=new))

    assert data.layout == "mnms"
    assert data.flaws == ()
    assert names(data.cases) == sorted(f"{code}_{p}" for code in MNMS for p in ("ED", "ES"))
    assert {case.site for case in data.cases} == {"A1", "B2", "B3", "C4", "D5"}
    assert {case.part for case in data.cases} == {"training", "validation", "testing"}
    assert {case.group for case in data.cases} == ({"HCM"} if new else {""})


def test_of_two_tables_the_newer_one_counts(tmp_path):
    mnms(tmp_path, new=True)
    mnms(tmp_path, {"A0S9V9": MNMS["A0S9V9"]}, new=False)

    data = read_data_set(tmp_path)

    assert len(data.cases) == 2 * len(MNMS)
    assert NEW in data.remarks[0]
    assert OLD not in data.remarks[0]


def test_frames_of_mnms_count_from_zero_and_ed_may_come_later(tmp_path):
    data = read_data_set(mnms(tmp_path))
    cases = {case.case_id: case for case in data.cases}
    whole = np.asarray(nib.load(tmp_path / "Training/Labeled/A1D0Q7/A1D0Q7_sa.nii.gz").dataobj)

    ed, es = (open_case(cases[f"A1D0Q7_{phase}"])[0].array for phase in ("ED", "ES"))

    assert ed.shape == (1, SHAPE[2], SHAPE[1], SHAPE[0])
    assert (ed.sum(), es.sum()) == (whole[..., 4].sum(), whole[..., 1].sum())


def test_parts_in_small_letters_are_the_same_parts(tmp_path):
    low = {code: (row[0].lower(), *row[1:]) for code, row in MNMS.items()}
    low["A0S9V9"] = ("train/labeled", *MNMS["A0S9V9"][1:])

    data = read_data_set(mnms(tmp_path, low))

    assert len(data.cases) == 2 * len(MNMS)
    assert {case.part for case in data.cases} == {"training", "validation", "testing"}


def test_the_unlabelled_are_left_out_unless_they_are_asked_for(tmp_path):
    unlabelled = {"C0L7V1": ("Training/Unlabeled", "C", "4", 0, 3)}
    mnms(tmp_path, {**MNMS, **unlabelled})

    usual, asked = (read_data_set(tmp_path, name) for name in ("mnms", "mnms-with-unlabeled"))

    assert len(asked.cases) - len(usual.cases) == 2
    assert not any("C0L7V1" in case.case_id for case in usual.cases)
    assert any("1 unlabelled patients are left out" in remark for remark in usual.remarks)


def test_one_frame_for_both_phases_is_a_flaw_of_that_patient(tmp_path):
    data = read_data_set(mnms(tmp_path, {**MNMS, "E0O0S0": ("Testing", "D", "5", 2, 2)}))

    [flaw] = data.flaws
    assert flaw.case_id == "E0O0S0"
    assert "two frames, ED and ES, got 2 for both" in str(flaw.error)
    assert len(data.cases) == 2 * len(MNMS)


def test_a_mask_of_nothing_but_zeros_is_refused_when_it_is_opened(tmp_path):
    mnms(tmp_path)
    place = tmp_path / "Testing" / "C5L0R3" / "C5L0R3_sa_gt.nii.gz"
    write_volume(place, np.zeros((*SHAPE, FRAME_COUNT), np.uint8))
    [case] = [c for c in read_data_set(tmp_path).cases if c.case_id == "C5L0R3_ED"]

    with pytest.raises(DataError, match=r"Expected a labelled voxel, got none.*C5L0R3_ED"):
        open_case(case)


def test_a_frame_that_the_file_does_not_have_is_refused(tmp_path):
    mnms(tmp_path, {"A0S9V9": ("Training/Labeled", "A", "1", 0, FRAME_COUNT)})
    [case] = [c for c in read_data_set(tmp_path).cases if c.phase == "ES"]

    with pytest.raises(DataError, match=f"a fourth axis with a frame {FRAME_COUNT}"):
        open_case(case)


def test_a_missing_file_and_a_folder_without_a_row_are_flaws(tmp_path):
    mnms(tmp_path)
    (tmp_path / "Validation" / "B3P9R2" / "B3P9R2_sa_gt.nii.gz").unlink()
    (tmp_path / "Testing" / "Z9Z9Z9").mkdir()

    data = read_data_set(tmp_path)

    assert {flaw.case_id for flaw in data.flaws} == {"B3P9R2", "Z9Z9Z9"}


def test_a_table_of_345_patients_must_have_the_published_vendors(tmp_path):
    mnms(tmp_path)
    rows = [f"{i},P{i:05d},NOR,S,A,1,0,9,,,," for i in range(345)]
    header = (tmp_path / NEW).read_text(encoding="utf-8-sig").splitlines()[0]
    (tmp_path / NEW).write_text("\n".join([header, *rows]))

    flaws = read_data_set(tmp_path).flaws

    assert any("A 95, B 125, C 75, D 50, got A 345" in str(flaw.error) for flaw in flaws)


def test_the_number_of_patients_that_are_used_is_said(tmp_path):
    remarks = read_data_set(mnms(tmp_path)).remarks

    assert "5 patients are here (A 1, B 2, C 1, D 1), of 345 that were published" in remarks


def test_frames_of_acdc_count_from_one_and_its_cine_gives_the_same_image(tmp_path):
    acdc(tmp_path / "database")
    files = {case.case_id: case for case in read_data_set(tmp_path / "database", "acdc").cases}
    from_files = open_case(files["patient001_ES"])[0].array
    for path in (tmp_path / "database").glob("*/*/*_frame??.nii.gz"):
        path.unlink()

    cine = {case.case_id: case for case in read_data_set(tmp_path / "database").cases}

    assert files["patient001_ES"].frame is None
    assert cine["patient001_ES"].frame == 3
    np.testing.assert_array_equal(open_case(cine["patient001_ES"])[0].array, from_files)


def test_acdc_is_found_from_its_folder_and_from_the_one_above(tmp_path):
    acdc(tmp_path / "database")

    for folder in (tmp_path, tmp_path / "database", tmp_path / "database" / "training"):
        assert layout_of(folder).name == "acdc"
    assert {c.part for c in read_data_set(tmp_path).cases} == {"training", "testing"}


def test_a_frame_zero_in_acdc_is_a_flaw(tmp_path):
    acdc(tmp_path)
    (tmp_path / "training" / "patient001" / "Info.cfg").write_text("ED: 0\nES: 4\n")

    [flaw] = read_data_set(tmp_path).flaws

    assert "ED as a frame from 1 on" in str(flaw.error)


def test_the_left_ventricle_of_both_data_sets_is_one_number(tmp_path):
    """ACDC numbers the labels of M&Ms in reverse; the cavity is the innermost disc in both."""
    places = {
        "mnms": Place(str(mnms(tmp_path / "mnms")), "mnms", ("phase=ED", "vendor=A")),
        "acdc": Place(str(acdc(tmp_path / "acdc")), "acdc", ("phase=ED", "part=training")),
    }

    for name, place in places.items():
        [case] = read_places([place], name, CLASSES).cases
        raw, named = np.asarray(nib.load(case.label).dataobj), case_labels(case).array
        cavity = {"mnms": 1, "acdc": 3}[name]
        assert (named == 1).sum() == (raw == cavity).sum() // (2 if name == "mnms" else 1) > 0
        assert named.max() == 3


def test_what_a_study_does_not_name_is_background(tmp_path):
    place = Place(str(acdc(tmp_path)), "acdc")

    case = read_places([place], "s", ["RV"]).cases[0]

    assert set(np.unique(case_labels(case).array)) == {0, 1}
    assert (case_labels(case).array == 1).sum() == (
        np.asarray(nib.load(case.label).dataobj) == 1
    ).sum()


def test_a_class_that_the_data_set_does_not_have_is_refused(tmp_path):
    place = Place(str(acdc(tmp_path)), "acdc")

    with pytest.raises(DataError, match=r"Expected a class of RV, MYO, LV, got 'atrium'"):
        read_places([place], "s", ["LV", "atrium"])


def test_a_mask_with_a_number_that_no_table_has_is_refused(tmp_path):
    acdc(tmp_path)
    mask = np.full(SHAPE, 9, np.uint8)
    write_volume(tmp_path / "training" / "patient001" / "patient001_frame01_gt.nii.gz", mask)
    case = read_places([Place(str(tmp_path), "acdc")], "s", CLASSES).cases[0]

    with pytest.raises(DataError, match="Expected labels 0, 1, 2, 3, got 9"):
        open_case(case)
