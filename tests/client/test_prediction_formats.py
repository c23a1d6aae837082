from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_samples import phantom, save, series_of
from released_samples import predictor, write_image

from crisp_client.monitoring.log import read as read_log
from crisp_client.prediction import formats
from crisp_client.prediction.formats import check_formats, completed
from crisp_client.prediction.inputs import sources_in
from crisp_client.prediction.log import PredictionLog
from crisp_client.prediction.run import Options, Outcome, predict
from crisp_core.errors import MissingExtraError, UsageError
from crisp_core.files.dicom.masks import read_mask
from crisp_core.files.dicom.series import read_series
from crisp_core.files.orientation import to_file
from crisp_core.files.volumes import write_map
from crisp_core.schema.risk import RiskRule


def answered(folder: Path, place: Path, *names, **options) -> Outcome:
    model = predictor(folder / "model")
    asked = Options(completed(names), **options)
    [outcome] = predict(model, sources_in(place), folder / "out", asked)
    return outcome


@pytest.mark.slow
def test_a_dicom_series_is_answered_in_every_format_and_all_agree(tmp_path: Path) -> None:
    place = save(tmp_path / "heart", series_of(phantom(5, 20, 24)))

    outcome = answered(tmp_path, place, "nifti", "rtstruct", "sr")

    assert outcome.error is None
    files = {path.name for path in outcome.place.iterdir()}
    assert {"labels.nii.gz", "segmentation.dcm", "structures.dcm", "report.dcm"} <= files
    series = read_series(place)
    labels = np.asarray(nib.load(outcome.place / "labels.nii.gz").dataobj)
    for name in ("segmentation.dcm", "structures.dcm"):
        back = read_mask(outcome.place / name, series, {"LV": 1, "MYO": 2})
        assert np.array_equal(to_file(back.array, series.volume.grid), labels)
    assert labels.any()
    assert outcome.record is not None
    assert outcome.record.source is not None
    assert outcome.record.source.series_uid == series.facts.series_uid


def test_the_same_voxels_from_nifti_and_from_dicom_get_the_same_labels(tmp_path: Path) -> None:
    place = save(tmp_path / "heart", series_of(phantom(5, 20, 24)))
    first = answered(tmp_path, place, "nifti")
    series = read_series(place)
    write_map(tmp_path / "heart.nii.gz", series.volume.array[0], series.volume.grid)

    second = answered(tmp_path / "again", tmp_path / "heart.nii.gz", "nifti")

    answers = [(one.place / "labels.nii.gz").read_bytes() for one in (first, second)]
    assert answers[0] == answers[1]


def test_a_dicom_format_of_a_nifti_image_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    write_image(tmp_path / "case.nii.gz")

    outcome = answered(tmp_path, tmp_path / "case.nii.gz", "nifti", "dicom-seg")

    assert isinstance(outcome.error, UsageError)
    assert not outcome.place.exists()


def test_a_missing_extra_is_one_sentence_with_the_line_to_type(monkeypatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda _: None)

    with pytest.raises(MissingExtraError, match=r'pip install "crisp-fl\[dicom\]"'):
        check_formats(["nifti", "sr"])


def test_a_subject_of_bids_is_found_by_its_names(tmp_path: Path) -> None:
    write_image(tmp_path / "case_01.nii.gz")

    outcome = answered(tmp_path, tmp_path / "case_01.nii.gz", "bids")

    assert outcome.place == tmp_path / "out" / "sub-case01"
    stem = "sub-case01_space-orig"
    anat = outcome.place / "anat"
    assert {path.name for path in anat.glob("*.nii.gz")} == {
        f"{stem}_desc-crisp_dseg.nii.gz",
        *(f"{stem}_label-{name}_desc-crisp_probseg.nii.gz" for name in ("LV", "MYO")),
        *(
            f"{stem}_label-{name}_desc-{mask}_mask.nii.gz"
            for name in ("LV", "MYO")
            for mask in ("core", "support")
        ),
    }
    with (anat / f"{stem}_desc-crisp_dseg.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, dialect="excel-tab"))
    assert [(row["index"], row["name"]) for row in rows][1:] == [("1", "LV"), ("2", "MYO")]
    description = json.loads((tmp_path / "out" / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert all(path.with_name(path.name[:-7] + ".json").exists() for path in anat.glob("*.nii.gz"))


def test_pages_are_one_page_each_with_the_case_and_its_volumes(tmp_path: Path) -> None:
    write_image(tmp_path / "case_01.nii.gz")

    outcome = answered(tmp_path, tmp_path / "case_01.nii.gz", "pdf", "png")

    pdf = (outcome.place / "overview.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") == 1
    png = (outcome.place / "overview.png").read_bytes()
    assert png.startswith(b"\x89PNG")


def test_a_model_with_a_rule_flags_its_answers_in_record_log_and_report(tmp_path: Path) -> None:
    place = save(tmp_path / "heart", series_of(phantom(5, 20, 24)))
    model = predictor(tmp_path / "model")
    strict = RiskRule(
        quantiles={"entropy": tuple(np.linspace(0, 0.01, 11))},
        review=0.5,
        reject=0.9,
        catch_rate=0.9,
        basis="quantiles",
        case_count=9,
        failure_count=0,
        flagged=0.1,
    )
    flagged = replace(model, model=model.model.model_copy(update={"risk": strict}))
    log = PredictionLog(tmp_path / "log", "key")
    asked = Options(completed(["sr", "pdf"]))

    [outcome] = predict(flagged, sources_in(place), tmp_path / "out", asked, log)

    assert outcome.record is not None
    assert outcome.record.flag is not None
    assert outcome.record.flag.decision == "reject"
    [line] = read_log(tmp_path / "log").lines
    assert (line.flag, line.reasons) == ("reject", ("entropy",))
    assert line.volumes_ml["LV"] == outcome.record.structures["LV"].volume_ml
    assert b"Do not use this answer" in (outcome.place / "report.dcm").read_bytes()


def test_an_answer_that_is_there_already_leaves_no_second_line(tmp_path: Path) -> None:
    write_image(tmp_path / "case.nii.gz")
    model, log = predictor(tmp_path / "model"), PredictionLog(tmp_path / "log", "key")

    for _ in range(2):
        list(predict(model, sources_in(tmp_path / "case.nii.gz"), tmp_path / "out", Options(), log))

    assert len(read_log(tmp_path / "log").lines) == 1
