from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from site_samples import east
from synthetic import write_site

from crisp_client.cases import (
    SiteCases,
    TrainingSlices,
    forget_cases,
    open_cases,
    with_neighbours,
)
from crisp_core.errors import DataError
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.study import Study


@pytest.fixture
def site(tmp_path: Path) -> SiteCases:
    settings, study = east(tmp_path)
    return open_cases(settings, study)


def test_a_stack_repeats_the_last_slice_at_both_ends() -> None:
    images = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1)

    stacked = with_neighbours(images, 3)

    assert stacked[:, :, 0, 0].tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 2]]


def test_a_training_slice_is_the_same_as_in_its_whole_volume(site: SiteCases) -> None:
    prepared = [site.prepared(case) for case in site.of("train")]
    slices = TrainingSlices(prepared, slices_in=3)

    whole = torch.cat([with_neighbours(case.images, 3) for case in prepared])

    assert torch.equal(slices.images(range(len(slices.places))), whole)


def test_patients_of_training_and_validation_are_different_people(site: SiteCases) -> None:
    train = {case.patient_id for case in site.of("train")}
    validation = {case.patient_id for case in site.of("validation")}

    assert train.isdisjoint(validation)
    assert len(train) + len(validation) == 3


def test_a_pseudonym_needs_the_sites_key(site: SiteCases, tmp_path: Path) -> None:
    settings, study = east(tmp_path)
    other = open_cases(settings.model_copy(update={"pseudonym_key": "another"}), study)

    assert site.pseudonym("east-1") == site.pseudonym("east-1")
    assert site.pseudonym("east-1") != other.pseudonym("east-1")
    assert "east" not in site.pseudonym("east-1")


def test_an_image_with_other_channels_than_the_studys_is_named(tmp_path: Path) -> None:
    settings, study = east(tmp_path, model={"channels": 2})
    site = open_cases(settings, study)

    with pytest.raises(DataError, match=r"model.channels = 2.*got 1 .*'east-0'"):
        site.prepared(site.cases[0])


def spoilt(folder: Path, count: int, bad: int) -> tuple[SiteSettings, Study]:
    """Write one case `count` times, each its own patient's; the first `bad` are cut short."""
    settings, study = east(folder)
    data = write_site(folder / "many", 1, shape=(8, 8, 2))
    image, label = ((data / part / "c0.nii.gz").read_bytes() for part in ("images", "labels"))
    for number in range(count):
        name = f"c{number}.nii.gz"
        (data / "images" / name).write_bytes(image[:40] if number < bad else image)
        (data / "labels" / name).write_bytes(label)
    (data / "cases.csv").unlink()
    return settings.model_copy(update={"data": (str(data),)}), study


def allowing(settings: SiteSettings, share: float) -> SiteSettings:
    return settings.model_copy(update={"unreadable_share": share})


def test_unreadable_cases_up_to_the_share_are_left_out_and_counted(tmp_path: Path) -> None:
    settings, study = spoilt(tmp_path, 40, bad=1)

    site = open_cases(allowing(settings, 0.026), study)  # 1 of 40 is 0.025

    assert site.left_out == ("c0",)
    assert len(site.cases) == 39
    assert len(site.of("train")) + len(site.of("validation")) == 39


def test_more_unreadable_cases_than_the_share_end_it_with_their_count(tmp_path: Path) -> None:
    settings, study = spoilt(tmp_path, 20, bad=19)

    with pytest.raises(DataError, match=r"at most 5\.0% of the cases unreadable, got 19 of 20"):
        open_cases(allowing(settings, 0.05), study)


def test_without_a_share_the_first_unreadable_case_ends_the_work(tmp_path: Path) -> None:
    settings, study = spoilt(tmp_path, 4, bad=1)
    site = open_cases(settings, study)

    with pytest.raises(DataError, match=r"c0\.nii\.gz"):
        site.prepared(site.cases[0])


def test_which_cases_are_left_out_is_decided_once_and_survives_a_restart(tmp_path: Path) -> None:
    settings, study = spoilt(tmp_path, 20, bad=1)
    settings = allowing(settings, 0.1)
    first = open_cases(settings, study)
    images = Path(settings.data[0]) / "images"
    (images / "c0.nii.gz").write_bytes((images / "c1.nii.gz").read_bytes())  # mended
    (images / "c2.nii.gz").write_bytes(b"")  # and another one breaks

    forget_cases()
    second = open_cases(settings, study)

    assert second.left_out == first.left_out == ("c0",)
    assert second.splits == first.splits
    with pytest.raises(DataError, match=r"c2\.nii\.gz"):
        second.prepared(next(case for case in second.cases if case.case_id == "c2"))


def test_a_new_case_and_another_study_decide_anew(tmp_path: Path) -> None:
    settings, study = spoilt(tmp_path, 20, bad=1)
    settings = allowing(settings, 0.1)
    open_cases(settings, study)
    images = Path(settings.data[0]) / "images"
    (images / "c2.nii.gz").write_bytes(b"")

    forget_cases()
    other = open_cases(settings, study.model_copy(update={"name": "another"}))

    assert other.left_out == ("c0", "c2")


def test_a_site_of_many_cases_is_not_stopped_by_the_usual_limit_of_open_files(
    tmp_path: Path,
) -> None:
    settings, study = spoilt(tmp_path, 40, bad=0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = len(list(Path("/proc/self/fd").iterdir())) + 40
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    try:
        site = open_cases(settings, study)
        prepared = [site.prepared(case) for case in site.cases]  # 80 files stay mapped
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert len(prepared) == 40


@pytest.mark.long
@pytest.mark.parametrize(("count", "bad", "kept"), [(1910, 48, 1862), (10_000, 9_999, 0)])
def test_forty_eight_of_1910_are_left_out_and_9999_of_10000_end_it(
    tmp_path: Path, count: int, bad: int, kept: int
) -> None:
    settings, study = spoilt(tmp_path, count, bad)
    settings = allowing(settings, 0.05)

    if kept:
        assert len(open_cases(settings, study).cases) == kept
    else:
        with pytest.raises(DataError, match="got 9,999 of 10,000"):
            open_cases(settings, study)
