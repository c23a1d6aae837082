from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from released_samples import predictor, small_study, write_image, write_model
from typer.testing import CliRunner

from crisp_client.cli import app
from crisp_client.inference import refine_case, restored
from crisp_client.prediction.answer import Answer, structures_of, with_largest_component
from crisp_client.prediction.folder import read_record
from crisp_client.prediction.inputs import opened, sources_in
from crisp_client.prediction.run import Options, Outcome, predict
from crisp_core.errors import DataError, RunStateError, UsageError
from crisp_core.files.orientation import grid_of
from crisp_core.files.preprocess import PrepareSettings, placement_of, prepare_image
from crisp_core.files.volumes import read_labels
from crisp_core.schema.study import CrispConfig, ImagesConfig


def answers(folder: Path, place: Path, options: Options | None = None, **study) -> list[Outcome]:
    """Predict on `place` with a small model of this study."""
    plan = small_study(**study)
    model = predictor(folder / "model", plan, recursions=plan.recursions)
    return list(predict(model, sources_in(place), folder / "out", options or Options()))


def answer_of(labels: np.ndarray) -> Answer:
    """An answer of two structures that is sure of nothing."""
    nowhere = np.zeros((labels.shape[0], 2, *labels.shape[1:]), bool)
    even = np.full((labels.shape[0], 3, *labels.shape[1:]), 1 / 3, np.float32)
    return Answer(labels.astype(np.uint8), even, nowhere, nowhere, 1, 1, None, 0.5, 1)


def test_a_prediction_is_what_evaluation_would_have_measured(tmp_path: Path) -> None:
    model = predictor(tmp_path)
    write_image(tmp_path / "case.nii.gz")
    case = opened(sources_in(tmp_path / "case.nii.gz")[0], model.model.study)

    answer = model.answer(case)

    # by hand, as a site prepares and measures a case: one window, keyed noise, guard
    settings, grid = PrepareSettings(size=(16, 16)), case.volume.grid
    images = prepare_image(case.volume, settings)[None]
    refined = refine_case(
        model.segmenter, images, model.model.study, 2, case.input_hash, model.bench
    )
    native = restored(refined.answer, [placement_of(grid, settings)], grid)
    assert np.array_equal(answer.probabilities, native.probabilities)
    assert np.array_equal(answer.core, native.core)
    assert (answer.recursions, answer.chosen) == (2, refined.chosen + 1)


@pytest.mark.parametrize(
    ("order", "signs"), [((1, 0, 2), (1, 1, 1)), ((2, 0, 1), (-1, 1, -1)), ((0, 2, 1), (1, -1, 1))]
)
def test_however_a_file_stores_its_axes_the_answer_lies_where_the_image_does(
    tmp_path: Path, order, signs
) -> None:
    straight = np.diag([1.5, 1.4, 8.0, 1.0])
    stored = write_image(tmp_path / "in" / "straight.nii.gz", (20, 18, 4), straight)
    turned = stored.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    affine = np.eye(4)
    affine[:3, :3] = straight[:3, :3][:, order] * signs
    last = np.where(np.array(signs) < 0, np.array(turned.shape) - 1, 0)
    affine[:3, 3] = -affine[:3, :3] @ last
    nib.save(nib.Nifti1Image(turned, affine), tmp_path / "in" / "turned.nii.gz")

    outcomes = answers(tmp_path, tmp_path / "in")

    assert [outcome.error for outcome in outcomes] == [None, None]
    files = [nib.load(outcome.place / "labels.nii.gz") for outcome in outcomes]
    assert files[1].shape == turned.shape
    assert files[1].get_data_dtype() == np.uint8
    np.testing.assert_allclose(files[1].affine, affine, atol=1e-5)
    canonical = [np.asarray(nib.as_closest_canonical(file).dataobj) for file in files]
    assert canonical[0].any()
    # noise is keyed by the stored image, so a few voxels on a boundary may differ
    assert (canonical[0] == canonical[1]).mean() > 0.97


def test_a_sheared_oblique_affine_comes_back_as_it_was(tmp_path: Path) -> None:
    affine = np.array(
        [[1.2, 0.3, 0.1, -40], [-0.3, 1.1, 1.5, 20], [0.0, 0.2, 7.5, 5], [0, 0, 0, 1]]
    )
    write_image(tmp_path / "case.nii.gz", affine=affine)

    [outcome] = answers(tmp_path, tmp_path / "case.nii.gz")

    file = nib.load(outcome.place / "labels.nii.gz")
    np.testing.assert_allclose(file.affine, affine, atol=1e-5)
    voxels = int((np.asarray(file.dataobj) == 1).sum())
    ml = voxels * abs(np.linalg.det(affine[:3, :3])) / 1000
    assert outcome.record is not None
    assert outcome.record.structures["LV"].volume_ml == pytest.approx(ml)


def test_a_name_changes_nothing_in_the_answer(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_image(tmp_path / "in" / f"{name}.nii.gz")

    first, second = answers(tmp_path, tmp_path / "in")

    names = [path.name for path in first.place.iterdir() if path.suffix == ".gz"]
    assert len(names) == 8
    for name in names:
        assert (first.place / name).read_bytes() == (second.place / name).read_bytes()


def test_the_written_maps_are_those_of_the_answer(tmp_path: Path) -> None:
    write_image(tmp_path / "case.nii.gz")
    model = predictor(tmp_path / "model")
    [outcome] = predict(model, sources_in(tmp_path / "case.nii.gz"), tmp_path / "out", Options())

    answer = model.answer(opened(outcome.source, model.model.study))

    core = read_labels(outcome.place / "core_MYO.nii.gz").array
    support = read_labels(outcome.place / "support_MYO.nii.gz").array
    assert np.array_equal(core, answer.core[:, 1])
    assert not (core & ~support).any()
    unsure = np.asarray(nib.load(outcome.place / "uncertainty.nii.gz").dataobj)
    assert unsure.dtype == np.float32
    assert 0 <= unsure.min() < unsure.max() <= 1


def test_a_study_without_hints_predicts_in_one_pass(tmp_path: Path) -> None:
    write_image(tmp_path / "case.nii.gz")
    plain = CrispConfig(generations=2, hint="none", phase_shares=(1.0, 1.0), guard="none")

    [outcome] = answers(tmp_path, tmp_path / "case.nii.gz", crisp=plain)

    assert outcome.record is not None
    assert (outcome.record.recursions, outcome.record.changed) == (1, None)


def test_an_image_larger_than_the_crop_is_answered_beyond_it(tmp_path: Path) -> None:
    write_image(tmp_path / "case.nii.gz", (40, 34, 3))
    model = predictor(tmp_path, small_study(images=ImagesConfig(size=(16, 16), fit="crop")))
    case = opened(sources_in(tmp_path / "case.nii.gz")[0], model.model.study)

    answer = model.answer(case)

    assert answer.windows == 9  # 3 windows along 40 pixels, 3 along 34
    middle = placement_of(case.volume.grid, PrepareSettings((16, 16), "crop"))
    first, width = int(middle.columns.offset), middle.columns.count
    outside = np.ones(case.volume.grid.shape[2], bool)
    outside[first : first + width] = False
    assert (answer.probabilities[:, 1:, :, outside] > 0).all()
    np.testing.assert_allclose(answer.probabilities.sum(axis=1), 1, atol=1e-5)
    assert not (answer.core & ~answer.support).any()


def test_an_image_of_two_axes_gets_labels_of_two_axes(tmp_path: Path) -> None:
    array = write_image(tmp_path / "volume.nii.gz")[..., 1]
    nib.save(nib.Nifti1Image(array, np.diag([1.5, 1.5, 8, 1])), tmp_path / "slice.nii.gz")

    [outcome] = answers(tmp_path, tmp_path / "slice.nii.gz")

    assert nib.load(outcome.place / "labels.nii.gz").shape == (20, 18)


def test_of_two_islands_the_larger_one_stays() -> None:
    labels = np.zeros((1, 5, 9))
    labels[0, 1:4, 0:3] = 1  # nine pixels
    labels[0, 1:3, 6:8] = 1  # four, apart
    labels[0, 4, 8] = 2

    kept = with_largest_component(answer_of(labels), [0])

    assert (kept.labels == 1).sum() == 9
    assert (kept.labels == 2).sum() == 1


def test_an_empty_structure_has_no_volume_and_no_largest_part() -> None:
    labels = np.zeros((2, 4, 4))
    labels[0, 0, 0] = 1
    grid = grid_of((4, 4, 2), np.diag([2.0, 2.0, 10.0, 1.0]))

    answer = with_largest_component(answer_of(labels), [0, 1])

    found = structures_of(answer, ["LV", "MYO"], grid)
    assert found["LV"].volume_ml == pytest.approx(0.04)  # 2 x 2 x 10 mm
    assert found["MYO"].volume_ml == 0


def test_one_image_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    for name in ("a", "c"):
        write_image(tmp_path / "in" / f"{name}.nii.gz")
    (tmp_path / "in" / "b.nii.gz").write_bytes(b"\x1f\x8b no gzip")

    outcomes = answers(tmp_path, tmp_path / "in")

    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "c"}


def test_asking_again_does_nothing_and_asking_otherwise_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "case.nii.gz")
    [first] = answers(tmp_path, tmp_path / "case.nii.gz")
    before = {path: path.stat().st_mtime_ns for path in first.place.iterdir()}

    [again] = answers(tmp_path, tmp_path / "case.nii.gz")
    [other] = answers(tmp_path, tmp_path / "case.nii.gz", Options(largest_component=("LV",)))

    assert first.made_now
    assert not again.made_now
    assert again.record == read_record(first.place)
    assert isinstance(other.error, RunStateError)
    assert {path: path.stat().st_mtime_ns for path in first.place.iterdir()} == before


def test_an_answer_that_somebody_changed_is_not_taken_for_the_same(tmp_path: Path) -> None:
    write_image(tmp_path / "case.nii.gz")
    [first] = answers(tmp_path, tmp_path / "case.nii.gz")
    (first.place / "labels.nii.gz").write_bytes(b"edited")

    [again] = answers(tmp_path, tmp_path / "case.nii.gz")

    assert "labels.nii.gz was changed" in str(again.error)
    assert (first.place / "labels.nii.gz").read_bytes() == b"edited"


def test_a_structure_that_the_model_does_not_know_is_a_usage_error(tmp_path: Path) -> None:
    write_image(tmp_path / "case.nii.gz")

    with pytest.raises(UsageError, match="LV, MYO"):
        answers(tmp_path, tmp_path / "case.nii.gz", Options(largest_component=("RV",)))


def flawed(folder: Path, flaw: str) -> Path:
    """Write an image that cannot be answered."""
    path = folder / "case.nii.gz"
    array = write_image(path)
    if flaw == "unreadable":
        path.write_bytes(path.read_bytes()[:200])
    elif flaw == "two channels":
        write_image(path, (20, 18, 4, 2))
    elif flaw == "not finite":
        array[3, 3, 1] = np.nan
        nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    elif flaw == "all zero":
        nib.save(nib.Nifti1Image(array * 0, np.eye(4)), path)
    return path


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ("unreadable", "a readable NIfTI file"),
        ("two channels", "an image of 1 channels"),
        ("not finite", "finite intensities"),
        ("all zero", "0 everywhere"),
    ],
)
def test_an_image_that_cannot_be_answered_is_named_with_its_flaw(
    tmp_path: Path, flaw: str, words: str
) -> None:
    [outcome] = answers(tmp_path, flawed(tmp_path, flaw))

    assert isinstance(outcome.error, DataError)
    assert words in str(outcome.error)
    assert not (tmp_path / "out").exists()


def test_a_command_that_cannot_work_ends_with_a_sentence_and_its_code(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    write_image(tmp_path / "case.nii.gz")
    model, image, out = (str(tmp_path / name) for name in ("model", "case.nii.gz", "out"))
    (tmp_path / "taken").write_text("a file")
    calls = {
        ("nowhere", image, "-o", out): (2, "a released model"),
        (model, "nowhere", "-o", out): (2, "a NIfTI file, a folder of them"),
        (model, image, "-o", out, "--format", "docx"): (2, "one of nifti, bids"),
        (model, image, "-o", str(tmp_path / "taken")): (3, "a folder that can be written"),
    }

    for call, (code, words) in calls.items():
        done = CliRunner().invoke(app, ["predict", "--threads", "1", *call])

        assert (done.exit_code, words in done.stderr) == (code, True), done.stderr
    assert not (tmp_path / "out").exists()


def test_a_script_reads_one_json_line_a_case(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    write_image(tmp_path / "case.nii.gz")
    call = [str(tmp_path / name) for name in ("model", "case.nii.gz")]

    done = CliRunner().invoke(
        app, ["predict", *call, "-o", str(tmp_path / "out"), "--threads", "1", "--json"]
    )

    assert done.exit_code == 0, done.stderr
    line = json.loads(done.stdout)
    assert line["case"] == "case"
    assert set(line["structures"]) == {"LV", "MYO"}
