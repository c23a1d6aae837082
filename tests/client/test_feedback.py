from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_samples import phantom, save, series_of
from released_samples import predictor, write_image
from typer.testing import CliRunner

from crisp_client.cli import app
from crisp_client.prediction.feedback import Judgement, record_feedback
from crisp_client.prediction.folder import RECORD
from crisp_client.prediction.formats import completed
from crisp_client.prediction.inputs import sources_in
from crisp_client.prediction.run import Options, predict
from crisp_core.errors import DataError, RunStateError, UsageError
from crisp_core.files.dicom.origin import Origin, write_object
from crisp_core.files.dicom.segmentation import segmentation
from crisp_core.files.dicom.series import read_series
from crisp_core.files.volumes import read_labels
from crisp_core.schema.feedback import Feedback
from crisp_core.trust.ledger import Ledger


def answered(folder: Path, place: Path, *formats: str) -> Path:
    model = predictor(folder / "model")
    [outcome] = predict(
        model, sources_in(place), folder / "out", Options(completed(formats or ["nifti"]))
    )
    assert outcome.error is None
    return outcome.place


def edited(answer: Path, path: Path) -> np.ndarray:
    """Take the answer's labels and call a block of voxels LV; returns the new labels."""
    file = nib.load(answer / "labels.nii.gz")
    labels = np.asarray(file.dataobj).copy()
    labels[5:9, 5:9, 1] = 1
    nib.save(nib.Nifti1Image(labels, file.affine), path)
    return labels


def test_an_edited_mask_is_compared_kept_and_written_into_the_ledger(tmp_path: Path) -> None:
    write_image(tmp_path / "case.nii.gz")
    answer = answered(tmp_path, tmp_path / "case.nii.gz")
    before = {path.name: path.read_bytes() for path in answer.iterdir()}
    labels = edited(answer, tmp_path / "edited.nii.gz")
    ledger = Ledger(tmp_path / "ledger.jsonl")

    judgement = Judgement("edit", "the apex was missed", tmp_path / "edited.nii.gz")
    feedback = record_feedback(answer, judgement, ledger, "key")

    was = np.asarray(nib.load(answer / "labels.nii.gz").dataobj)
    for number, name in enumerate(("LV", "MYO"), start=1):
        both = ((was == number) & (labels == number)).sum()
        sizes = (was == number).sum() + (labels == number).sum()
        assert feedback.dice[name] == pytest.approx(2 * both / sizes)
    assert feedback.dice["LV"] < 1
    kept = np.asarray(nib.load(answer / "feedback-001.nii.gz").dataobj)
    assert np.array_equal(kept, labels)
    assert Feedback.model_validate_json((answer / "feedback-001.json").read_bytes()) == feedback
    [entry] = ledger.entries()
    assert (entry.event, entry.fields["verdict"]) == ("feedback", "edit")
    assert {name: (answer / name).read_bytes() for name in before} == before


def test_a_second_judgement_replaces_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "case.nii.gz")
    answer = answered(tmp_path, tmp_path / "case.nii.gz")
    ledger = Ledger(tmp_path / "ledger.jsonl")

    for verdict in ("accept", "reject"):
        record_feedback(answer, Judgement(verdict, "looked again"), ledger, "key")

    kept = [Feedback.model_validate_json(p.read_bytes()) for p in sorted(answer.glob("feedback-*"))]
    assert [(one.number, one.verdict) for one in kept] == [(1, "accept"), (2, "reject")]
    assert len(ledger) == 2


def test_an_edited_dicom_segmentation_is_compared_on_its_series(tmp_path: Path) -> None:
    place = save(tmp_path / "heart", series_of(phantom(5, 20, 24)))
    answer = answered(tmp_path, place, "dicom-seg")
    series = read_series(place)
    labels = np.zeros(series.volume.grid.shape, np.uint8)
    labels[1:4, 4:9, 5:11] = 1
    other = Origin("edited by hand", "viewer", "cd" * 32, "1")
    made = segmentation(series, labels, ("LV", "MYO"), ((255, 0, 0), (0, 255, 0)), other)
    write_object(tmp_path / "edited.dcm", made)

    judgement = Judgement("edit", "redrawn", tmp_path / "edited.dcm", place)
    feedback = record_feedback(answer, judgement, Ledger(tmp_path / "ledger.jsonl"), "key")

    assert 0 <= feedback.dice["LV"] < 1
    assert np.array_equal(read_labels(answer / "feedback-001.nii.gz").array, labels)


def test_what_does_not_go_together_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    write_image(tmp_path / "case.nii.gz")
    write_image(tmp_path / "smaller.nii.gz", (9, 9, 4))
    answer = answered(tmp_path, tmp_path / "case.nii.gz")
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ones = nib.Nifti1Image(np.ones((9, 9, 4), np.uint8), np.eye(4))
    nib.save(ones, tmp_path / "elsewhere.nii.gz")

    for error, judgement in {
        UsageError: Judgement("edit", "no mask"),
        DataError: Judgement("edit", "another grid", tmp_path / "elsewhere.nii.gz"),
    }.items():
        with pytest.raises(error):
            record_feedback(answer, judgement, ledger, "key")
    with pytest.raises(RunStateError, match=RECORD):
        record_feedback(tmp_path, Judgement("accept", "nothing there"), ledger, "key")
    assert len(ledger) == 0
    assert not list(answer.glob("feedback-*"))


def test_without_a_home_the_ledger_lies_beside_the_answers(tmp_path: Path) -> None:
    write_image(tmp_path / "case.nii.gz")
    answer = answered(tmp_path, tmp_path / "case.nii.gz")
    words = ["feedback", str(answer), "accept", "--reason", "fine"]

    done = CliRunner().invoke(app, [*words, "--home", str(tmp_path / "nowhere")])

    assert done.exit_code == 0, done.stderr
    assert len(Ledger(tmp_path / "out" / "feedback.jsonl")) == 1
