from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from site_samples import east
from synthetic import AFFINE, blob, write_volume

from crisp_client.cases import forget_cases
from crisp_client.survey import Survey, is_unlike, site_description
from crisp_core.errors import DataError
from crisp_core.schema.description import DataProfile

SECRETS = ("MUELLER", "GERTRUD", "ward7", "1949-03-02")
"""A patient's name, and where she lies: planted wherever a site could let it slip."""


def planted(folder: Path) -> Path:
    """Write a site whose folder, files, cases, patients, groups and headers hold the secrets."""
    place = folder / "MUELLER-ward7"
    rows = ["case,patient,group,phase"]
    for number in range(3):
        name = f"GERTRUD-{number}"
        image, labels = blob((20, 20, 4), 2, seed=number)
        for part, array in (("images", image), ("labels", labels)):
            path = write_volume(place / part / f"{name}.nii", array)
            data = bytearray(path.read_bytes())
            data[148:158] = b"1949-03-02"  # `descrip` of the header
            path.write_bytes(data)
        rows.append(f"{name},MUELLER-{number},ward7,1949-03-02")
    (place / "cases.csv").write_text("\n".join(rows) + "\n")
    return place


def test_no_name_that_is_planted_anywhere_is_in_the_answer(tmp_path: Path) -> None:
    settings, study = east(tmp_path)
    work = tmp_path / "GERTRUD-work"
    work.mkdir()
    named = settings.model_copy(update={"data": (str(planted(tmp_path)),), "work": str(work)})

    answer = site_description(named, study).model_dump_json()

    assert [word for word in SECRETS if word.lower() in answer.lower()] == []
    assert str(tmp_path) not in answer
    assert "GERTRUD-0" in (work / "survey.json").read_text()  # what it was made from stays here


def test_a_description_says_what_the_volumes_look_like(tmp_path: Path) -> None:
    settings, study = east(tmp_path)
    before = time.time()

    told = site_description(settings, study)

    assert told.data is not None
    assert told.data.orientations == {"LPS": 3}
    assert told.data.shape == (4, 20, 20)
    assert told.data.spacing_mm == (8.0, 1.5, 1.5)
    assert told.data.unlike_spacings == 0
    assert told.data.whole_numbers
    assert set(told.data.structures) == {"ring", "inner"}
    assert told.data.structures["inner"].patients == 3
    assert told.data.structures["inner"].background_share == 0  # the ring is all around it
    assert told.machine is not None
    assert before <= told.machine.clock_s <= time.time()
    assert told.machine.free_disk_bytes > 0


def test_a_site_measures_a_case_again_only_when_its_files_or_its_table_change(
    tmp_path: Path,
) -> None:
    settings, study = east(tmp_path)
    first = site_description(settings, study)
    remembered = Path(settings.work) / "survey.json"
    survey = Survey.model_validate_json(remembered.read_text())
    wrong = {
        name: case.model_copy(update={"orientation": "PIR"}) for name, case in survey.cases.items()
    }
    remembered.write_text(Survey(cases=wrong).model_dump_json())

    again = site_description(settings, study)
    image, _ = blob((20, 20, 4), 2, seed=9)
    write_volume(Path(settings.data[0]) / "images" / "east-1.nii.gz", image)
    changed = site_description(settings, study)

    assert first.data is not None
    assert again.data is not None
    assert changed.data is not None
    assert again.data.orientations == {"PIR": 3}
    assert changed.data.orientations == {"LPS": 1, "PIR": 2}


def test_a_spacing_that_the_table_corrects_is_the_one_that_is_told(tmp_path: Path) -> None:
    settings, study = east(tmp_path)
    site_description(settings, study)
    table = Path(settings.data[0]) / "cases.csv"
    lines = table.read_text().splitlines()
    table.write_text(
        "\n".join([f"{lines[0]},spacing_mm", *(f"{line},5 1 1" for line in lines[1:])])
    )
    forget_cases()

    told = site_description(settings, study)

    assert told.data is not None
    assert told.data.spacing_mm == told.spacing_mm_median == (5.0, 1.0, 1.0)


def test_empty_masks_and_double_images_are_counted(tmp_path: Path) -> None:
    settings, study = east(tmp_path)
    data = Path(settings.data[0])
    (data / "images" / "east-1.nii.gz").write_bytes(
        (data / "images" / "east-0.nii.gz").read_bytes()
    )
    write_volume(data / "labels" / "east-2.nii.gz", np.zeros((20, 20, 4), np.uint8), AFFINE)

    told = site_description(settings, study)

    assert (told.empty_masks, told.duplicate_cases, told.unreadable_cases) == (1, 1, 0)
    assert told.data is not None
    assert told.data.structures["ring"].patients == 2


def test_a_case_that_cannot_be_used_still_ends_the_description(tmp_path: Path) -> None:
    settings, study = east(tmp_path)
    (Path(settings.data[0]) / "images" / "east-1.nii.gz").write_bytes(b"")

    with pytest.raises(DataError, match=r"east-1\.nii\.gz"):
        site_description(settings, study)


def test_of_cases_with_another_spacing_only_their_number_is_told(tmp_path: Path) -> None:
    assert is_unlike((8.0, 1.5, 1.5), (8.0, 1.5, 0.4))
    assert is_unlike((8.0, 1.5, 1.5), (25.0, 1.5, 1.5))
    assert not is_unlike((8.0, 1.5, 1.5), (20.0, 1.0, 2.0))
    lengths = [name for name in DataProfile.model_fields if name.startswith("spacing")]
    assert lengths == ["spacing_mm"]
