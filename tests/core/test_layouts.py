from __future__ import annotations

import json

import numpy as np
import pytest
from layout_samples import bids, brats, msd, nnunet, prostate, table
from synthetic import write_site

from crisp_core.errors import DataError, UsageError
from crisp_core.files.examine import open_case
from crisp_core.files.layouts.reading import read_places
from crisp_core.files.layouts.registry import LAYOUTS, layout_of, read_data_set
from crisp_core.files.meanings import names_of, numbering_of
from crisp_core.schema.places import Place

HEADER = "image,label,patient,site,vendor,frame,split\n"


def only(data):
    assert [str(flaw.error) for flaw in data.flaws] == []
    return data


def test_a_capital_in_a_masks_name_makes_no_second_case(tmp_path):
    data = only(read_data_set(prostate(tmp_path)))

    assert data.layout == "prostate"
    assert len(data.cases) == 6
    assert {case.site for case in data.cases} == {"RUNMC", "BMC", "HK"}
    assert len({case.patient_id for case in data.cases}) == 6  # Case00 of two sites: two people
    assert "BMC has 2 cases; 30 were published" in data.remarks


def test_both_zones_of_the_prostate_are_prostate(tmp_path):
    place = Place(str(prostate(tmp_path)), "prostate", ("site=BMC",))

    case = read_places([place], "b", ["prostate"]).cases[0]

    raw, labels = (
        np.unique(open_case(read_data_set(tmp_path).cases[0])[1].array),
        open_case(case)[1],
    )
    assert list(raw) == [0, 1, 2]
    assert set(np.unique(labels.array)) == {0, 1}


@pytest.mark.parametrize("newer", [False, True])
def test_enhancing_tumour_is_four_or_three_and_means_the_same(tmp_path, newer):
    subject = "BraTS-GLI-00000-000" if newer else "BraTS2021_00000"
    data = only(read_data_set(brats(tmp_path, [subject], newer=newer)))

    [case] = read_places([Place(str(tmp_path), "brats")], "s", ["ET"]).cases
    image, labels = open_case(case)

    assert data.layout == "brats"
    assert image.array.shape[0] == 4
    raw = open_case(data.cases[0])[1].array
    np.testing.assert_array_equal(labels.array == 1, raw == (3 if newer else 4))


def test_two_visits_of_one_person_are_one_patient(tmp_path):
    brats(tmp_path, ["BraTS-GLI-00007-000", "BraTS-GLI-00007-001"], newer=True)

    assert {case.patient_id for case in read_data_set(tmp_path).cases} == {"BraTS-GLI-00007"}


def test_the_sequences_of_a_tumour_come_in_one_order(tmp_path):
    [case] = read_data_set(brats(tmp_path, ["BraTS2021_00000"])).cases

    assert [path.name.split("_")[-1] for path in case.images] == [
        "t1.nii.gz", "t1ce.nii.gz", "t2.nii.gz", "flair.nii.gz"
    ]  # fmt: skip


def test_each_institution_of_fets_is_a_site(tmp_path):
    subjects = [f"FeTS2022_{number:05d}" for number in range(3)]
    brats(tmp_path, subjects)
    rows = "\n".join(f"{1 + i // 2},{s},train" for i, s in enumerate(subjects))
    (tmp_path / "partitioning_1.csv").write_text(
        f"Partition_ID,Subject_ID,TrainOrVal\n{rows}\n9,gone,val\n"
    )
    (tmp_path / "partitioning_2.csv").write_text(
        "Partition_ID,Subject_ID\n" + "\n".join(f"{i},{s}" for i, s in enumerate(subjects))
    )

    data, finer = only(read_data_set(tmp_path)), read_data_set(tmp_path, "fets-2")

    assert [case.site for case in data.cases] == ["institution-1"] * 2 + ["institution-2"]
    assert {case.split for case in data.cases} == {"train"}
    assert "1 subjects of the table have no folder here" in data.remarks
    assert len({case.site for case in finer.cases}) == 3


def test_overlapping_regions_are_not_two_classes(tmp_path):
    place = Place(str(brats(tmp_path, ["BraTS2021_00000"])), "brats")

    with pytest.raises(DataError, match=r"classes that share no voxel, got 'WT' and 'ET'"):
        read_places([place], "s", ["WT", "ET"])


def test_copies_of_a_mac_and_dots_before_paths_do_no_harm(tmp_path):
    data = only(read_data_set(msd(tmp_path)))

    assert data.layout == "msd"
    assert [case.case_id for case in data.cases] == ["prostate_01", "prostate_02"]
    assert open_case(data.cases[0])[0].array.shape[0] == 2  # T2 and ADC along the fourth axis
    assert data.channels == ("T2", "ADC")
    assert names_of(data.meanings) == ("PZ", "transition-zone")
    assert any("1 test cases" in remark for remark in data.remarks)


def test_a_listed_file_that_is_not_there_is_a_flaw(tmp_path):
    msd(tmp_path)
    (tmp_path / "labelsTr" / "prostate_02.nii.gz").unlink()

    [flaw] = read_data_set(tmp_path).flaws

    assert "labelsTr/prostate_02.nii.gz" in str(flaw.error)


def test_nnunet_has_a_file_a_channel_and_test_cases_with_masks(tmp_path):
    data = only(read_data_set(nnunet(tmp_path / "Dataset007_Prostate")))

    assert data.layout == "nnunet"
    assert [(case.case_id, case.part) for case in data.cases] == [
        ("case_01", "training"),
        ("case_02", "training"),
        ("case_03", "testing"),
    ]
    assert open_case(data.cases[0])[0].array.shape[0] == 2
    assert {case.site for case in data.cases} == {"Dataset007_Prostate"}


def test_a_region_without_its_inner_ones_has_a_name_of_its_own(tmp_path):
    data = read_data_set(nnunet(tmp_path, regions=True))

    assert names_of(data.meanings) == ("whole-only", "whole", "core-only", "core", "enhancing")
    assert numbering_of(data.meanings, ["core"], "x") == ((0, 0), (1, 0), (2, 1), (3, 1))
    parts = ["whole-only", "core-only", "enhancing"]
    assert numbering_of(data.meanings, parts, "x") == ((0, 0), (1, 1), (2, 2), (3, 3))


def test_regions_without_their_order_are_refused(tmp_path):
    nnunet(tmp_path, regions=True)
    description = json.loads((tmp_path / "dataset.json").read_text())
    del description["regions_class_order"]
    (tmp_path / "dataset.json").write_text(json.dumps(description))

    with pytest.raises(DataError, match="one label of regions_class_order for each of 3 regions"):
        read_data_set(tmp_path)


def test_a_channel_that_is_missing_is_a_flaw_of_its_case(tmp_path):
    nnunet(tmp_path)
    (tmp_path / "imagesTr" / "case_02_0001.nii.gz").unlink()

    [flaw] = read_data_set(tmp_path).flaws

    assert flaw.case_id == "case_02"
    assert "case_02_0001" in str(flaw.error)


def test_a_table_of_sites_says_whose_a_case_is_and_must_name_every_one(tmp_path):
    nnunet(tmp_path)
    (tmp_path / "sites.csv").write_text(
        "case,site,vendor,patient,split\ncase_01,north,GE,p1,train\ncase_02,south,,p2,\n"
    )

    data = read_data_set(tmp_path)

    assert [(c.site, c.vendor, c.patient_id, c.split) for c in data.cases] == [
        ("north", "GE", "p1", "train"),
        ("south", "", "p2", None),
    ]
    assert [flaw.case_id for flaw in data.flaws] == ["case_03"]


def test_bids_finds_the_raw_image_the_site_and_the_names(tmp_path):
    data = only(read_data_set(bids(tmp_path)))

    assert data.layout == "bids"
    assert [(c.case_id, c.patient_id, c.site) for c in data.cases] == [
        ("sub-01_ses-1", "sub-01", "north"),
        ("sub-02_ses-1", "sub-02", "south"),
    ]
    assert names_of(data.meanings) == ("cord", "lesion")
    assert data.channels == ("T2w",)
    inner = read_data_set(tmp_path / "derivatives" / "manual")
    assert [c.case_id for c in inner.cases] == ["sub-01_ses-1", "sub-02_ses-1"]


def test_two_pipelines_must_be_told_apart(tmp_path):
    bids(tmp_path)
    other = tmp_path / "derivatives" / "network"
    (tmp_path / "derivatives" / "manual").rename(other)
    bids(tmp_path)

    with pytest.raises(DataError, match="one pipeline with masks, got manual, network"):
        read_data_set(tmp_path, "bids")


def test_a_table_gives_channels_frames_and_splits(tmp_path):
    text = (
        HEADER
        + "files/a.nii.gz|files/a_2.nii.gz,files/a_mask.nii.gz,p1,north,GE,,train\n"
        + "files/b_cine.nii.gz,files/b_mask.nii.gz,p2,south,,1,\n"
    )

    data = only(read_data_set(table(tmp_path, text)))

    first, second = data.cases
    assert data.layout == "csv"
    assert (first.case_id, first.vendor, first.split, len(first.images)) == ("a", "GE", "train", 2)
    assert (second.case_id, second.frame) == ("b_cine_t1", 1)
    plain = open_case(read_data_set(tmp_path / "table.csv").cases[1])[0].array
    assert plain.shape[0] == 1


def test_a_patient_on_two_sides_of_a_table_is_refused(tmp_path):
    row = "files/{0}.nii.gz,files/{0}_mask.nii.gz,p1,north,,,{1}\n"
    table(tmp_path, HEADER + row.format("a", "train") + row.format("b", "test"))

    with pytest.raises(DataError, match="one split a patient"):
        read_places([Place(str(tmp_path), "csv")], "north", ["ring"])


def test_a_table_may_say_what_its_numbers_mean(tmp_path):
    table(tmp_path, HEADER + "files/a.nii.gz,files/a_mask.nii.gz,p1,north,,,\n")
    (tmp_path / "labels.csv").write_text("number,name\n1,ring\n2,inner\n")

    [case] = read_places([Place(str(tmp_path), "csv")], "north", ["inner"]).cases

    assert case.numbering == ((0, 0), (1, 0), (2, 1))


def test_a_file_outside_the_folder_is_refused_unless_links_are_followed(tmp_path):
    table(tmp_path, HEADER)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "t.csv").write_text(HEADER + "../files/a.nii.gz,../files/a_mask.nii.gz,p,north,,,\n")

    with pytest.raises(DataError, match="files inside the folder, got one elsewhere"):
        read_places([Place(str(inside), "csv")], "north", ["ring", "inner"])
    places = [Place(str(inside), "csv")]
    assert len(read_places(places, "north", ["ring", "inner"], follow_links=True).cases) == 1


def test_a_folder_of_site_folders_is_several_sites(tmp_path):
    for site in ("north", "south"):
        write_site(tmp_path / site, 2)

    data = only(read_data_set(tmp_path))

    assert data.layout == "house"
    assert [(c.case_id, c.site) for c in data.cases][:2] == [
        ("north.c0", "north"),
        ("north.c1", "north"),
    ]


def test_each_sample_is_told_from_every_other(tmp_path):
    samples = {"prostate": prostate, "msd": msd, "nnunet": nnunet, "bids": bids}
    for name, write in samples.items():
        write(tmp_path / name)
        assert [one.name for one in LAYOUTS if one.matches(tmp_path / name)] == [name]


def test_an_unknown_folder_is_told_what_was_looked_for(tmp_path):
    with pytest.raises(DataError) as caught:
        layout_of(tmp_path)

    guessed = [one for one in LAYOUTS if one.name not in ("fets-2", "mnms-with-unlabeled")]
    assert all(f"{one.name}: {one.looks_for}" in str(caught.value) for one in guessed)


def test_an_unknown_word_is_told_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match=r"mnms, .*nnunet"):
        read_data_set(tmp_path, "mmns")
