from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from site_samples import east

from crisp_client.cases import SiteCases, TrainingSlices, open_cases, with_neighbours
from crisp_core.errors import DataError


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
