from __future__ import annotations

import re

import pytest
from synthetic import write_site

from crisp_core.errors import DataError
from crisp_core.files.cohort import read_cohort, read_cohorts, survey
from crisp_core.files.examine import examine


def test_cases_come_in_the_order_of_their_names_with_their_patients(tmp_path):
    folder = write_site(tmp_path / "north", {"b": "p1", "a": "p1", "c": "p2"})

    cohort = read_cohort(folder, "north", 2)

    assert [(case.case_id, case.patient_id) for case in cohort.cases] == [
        ("a", "p1"),
        ("b", "p1"),
        ("c", "p2"),
    ]
    assert cohort.cases[0].label == folder / "labels" / "a.nii.gz"


def test_without_a_table_each_case_is_its_own_patient(tmp_path):
    folder = write_site(tmp_path, 2)
    (folder / "cases.csv").unlink()

    assert [case.patient_id for case in read_cohort(folder, "s", 2).cases] == ["c0", "c1"]


def test_the_table_tells_group_split_phase_and_spacing(tmp_path):
    folder = write_site(tmp_path, 1)
    header = "\ufeffcase, patient,group,split,phase,spacing_mm,remark\n"
    (folder / "cases.csv").write_text(header + "c0,p0,dilated,test,ED,8 1.4 1.5,x\n")

    (case,) = read_cohort(folder, "s", 2).cases

    assert (case.group, case.split, case.phase) == ("dilated", "test", "ED")
    assert case.spacing_mm == (8.0, 1.4, 1.5)


def test_numbered_files_are_channels_of_one_case(tmp_path):
    folder = write_site(tmp_path, 1)
    whole = folder / "images" / "c0.nii.gz"
    for number in (1, 0):
        (folder / "images" / f"c0_000{number}.nii.gz").write_bytes(whole.read_bytes())
    whole.unlink()

    (case,) = read_cohort(folder, "s", 2).cases

    assert [path.name for path in case.images] == ["c0_0000.nii.gz", "c0_0001.nii.gz"]


def test_a_numbered_name_with_its_own_mask_is_a_case(tmp_path):
    folder = write_site(tmp_path, {"scan_0001": "p", "scan_0002": "p"})

    assert len(read_cohort(folder, "s", 2).cases) == 2


def test_other_files_in_the_folders_are_left_alone(tmp_path):
    folder = write_site(tmp_path, 1)
    (folder / "images" / ".hidden.nii.gz").touch()
    (folder / "images" / "notes.txt").touch()

    assert len(read_cohort(folder, "s", 2).cases) == 1


TABLES = {
    "row without a case": b"case,patient\nc0,p0\nc1,p1\nc2,p2\nghost,p9\n",
    "case without a row": b"case,patient\nc0,p0\nc2,p2\n",
    "case twice": b"case,patient\nc0,p0\nc1,p1\nc2,p2\nc1,p1\n",
    "missing column": b"case,person\nc0,p0\n",
    "semicolons": b"case;patient\nc0;p0\n",
    "nothing": b"",
    "bad split": b"case,patient,split\nc0,p0,valid\n",
    "empty cell": b"case,patient\nc0,\n",
    "too many cells": b"case,patient\nc0,p0,x\n",
    "not UTF-8": b"case,patient\nc0,M\xfcller\n",
    "bad spacing": b"case,patient,spacing_mm\nc0,p0,1.5\n",
    "two splits": b"case,patient,split\nc0,p0,train\nc1,p0,test\nc2,p2,\n",
}


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("row without a case", "an image for every row of cases.csv, got none (case 'ghost')"),
        ("case without a row", "a row in cases.csv, got none (case 'c1')"),
        ("case twice", "one row a case, got a second for 'c1' (line 5 of cases.csv)"),
        ("missing column", "Expected a column 'patient', got columns case, person"),
        ("semicolons", "Expected a column 'case', got columns case;patient"),
        ("nothing", "Expected a column 'case', got columns none"),
        ("bad split", "split train, validation, test or nothing, got 'valid' (line 2"),
        ("empty cell", "Expected a value for 'patient', got an empty cell"),
        ("too many cells", "Expected as many cells as columns, got more"),
        ("not UTF-8", "Expected a table in UTF-8 with commas, got an unreadable one"),
        ("bad spacing", "such as '8 1.4 1.4', got '1.5'"),
        ("two splits", "one split a patient, got test and train for 'p0' (case 'c1')"),
    ],
)
def test_a_table_that_is_wrong_is_told_in_a_sentence(tmp_path, kind, sentence):
    folder = write_site(tmp_path / "site", 3)
    (folder / "cases.csv").write_bytes(TABLES[kind])

    with pytest.raises(DataError, match=re.escape(sentence)):
        read_cohort(folder, "s", 2)


def link_out(folder):
    image, target = folder / "images" / "c1.nii.gz", folder.parent / "elsewhere.nii.gz"
    image.rename(target)
    image.symlink_to(target)


BREAKS = {
    "missing mask": lambda folder: (folder / "labels" / "c1.nii.gz").unlink(),
    "missing image": lambda folder: (folder / "images" / "c1.nii.gz").unlink(),
    "one name twice": lambda folder: (folder / "images" / "c1.nii").touch(),
    "name and channel": lambda folder: (folder / "images" / "c1_0000.nii.gz").touch(),
    "gap in the channels": lambda folder: (folder / "images" / "c1.nii.gz").rename(
        folder / "images" / "c1_0001.nii.gz"
    ),
    "link out of the folder": link_out,
}


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("missing mask", "Expected a mask in labels/, got none (case 'c1')"),
        ("missing image", "Expected an image in images/, got none (case 'c1')"),
        ("one name twice", "one file a name, got 'c1.nii' and 'c1.nii.gz' in images/"),
        ("name and channel", "Expected one image a case, got 'c1.nii.gz' and 'c1_0000.nii.gz'"),
        ("gap in the channels", "Expected channels 0000 to 0000, got 0001 (case 'c1')"),
        ("link out of the folder", "files inside the folder, got a link out of it (case 'c1')"),
    ],
)
def test_a_folder_that_is_wrong_is_told_in_a_sentence(tmp_path, kind, sentence):
    folder = write_site(tmp_path / "site", 3)
    BREAKS[kind](folder)

    with pytest.raises(DataError, match=re.escape(sentence)):
        read_cohort(folder, "s", 2)


def test_links_out_of_the_folder_are_followed_where_the_site_says_so(tmp_path):
    folder = write_site(tmp_path / "site", 3)
    link_out(folder)

    assert len(read_cohorts([folder], "s", 2, follow_links=True).cases) == 3
    assert [finding.case_id for finding in examine(folder, 2)] == ["c1"]
    assert examine(folder, 2, follow_links=True) == ()


def test_a_table_or_folder_that_lies_elsewhere_is_a_link_out_too(tmp_path):
    for name in ("cases.csv", "labels"):
        folder = write_site(tmp_path / name / "site", 2)
        (folder / name).rename(tmp_path / name / "elsewhere")
        (folder / name).symlink_to(tmp_path / name / "elsewhere")
        with pytest.raises(DataError, match="got a link out of it"):
            read_cohort(folder, "s", 2)


def test_a_link_within_the_folder_is_a_file_like_any_other(tmp_path):
    folder = write_site(tmp_path / "site", 2)
    image = folder / "images" / "c1.nii.gz"
    image.rename(folder / "original.nii.gz")
    image.symlink_to(folder / "original.nii.gz")

    assert len(read_cohort(folder, "s", 2).cases) == 2


def test_an_absent_or_empty_folder_is_told_in_a_sentence(tmp_path):
    with pytest.raises(DataError, match="Expected a folder, got none"):
        read_cohort(tmp_path / "nowhere", "s", 2)
    with pytest.raises(DataError, match="Expected a folder images/ in it, got none"):
        read_cohort(tmp_path, "s", 2)

    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()

    with pytest.raises(DataError, match="at least one case, got none in images/"):
        read_cohort(tmp_path, "s", 2)


def test_a_survey_lists_every_flaw_and_the_cases_that_are_whole(tmp_path):
    folder = write_site(tmp_path / "site", 3)
    BREAKS["missing mask"](folder)
    (folder / "images" / "c2.nii.gz").unlink()

    cases, flaws = survey(folder)

    assert [case.case_id for case in cases] == ["c0"]
    assert [flaw.case_id for flaw in flaws] == ["c1", "c2", "c2"]  # c2 also lacks its table's image


def test_joined_folders_put_the_folder_in_front_of_a_shared_name_only(tmp_path):
    write_site(tmp_path / "north", {"a": "p1", "b": "p2"})
    write_site(tmp_path / "south", {"a": "p3", "c": "p2"})

    cohort = read_cohorts([tmp_path / "north", tmp_path / "south"], "pooled", 2)

    assert [case.case_id for case in cohort.cases] == ["b", "c", "north.a", "south.a"]
    assert [case.patient_id for case in cohort.cases] == ["p2", "p2", "p1", "p3"]


def test_one_case_name_in_two_folders_of_one_name_is_refused(tmp_path):
    write_site(tmp_path / "x" / "site", 1)
    write_site(tmp_path / "y" / "site", 1)

    with pytest.raises(DataError, match=r"one case 'site\.c0', got 2"):
        read_cohorts([tmp_path / "x" / "site", tmp_path / "y" / "site"], "pooled", 2)
