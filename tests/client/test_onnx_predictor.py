from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from released_samples import small_study, write_model

from crisp_client import cases
from crisp_client.prediction.onnx_predictor import (
    OnnxPredictor,
    agreement,
    is_exported,
    outside_core,
    recursion_inputs,
    with_neighbours,
)
from crisp_core.errors import UntrustedError, UsageError
from crisp_core.files.export.write import digests
from crisp_core.model.evidence import evidence_of
from crisp_core.model.hinting import KeyedNoise
from crisp_core.model.refine import Pass, Refinement
from crisp_core.schema.exported import ExportedModel, ExportFormat, Parity, RecursionInputs

SHAPE = RecursionInputs(
    channels=1, size=(16, 16), passes=2, perturbations=3, noise_length=128, classes=3
)


def test_the_noise_is_the_networks_own() -> None:
    windows = np.zeros((2, 3, 1, 16, 16), np.float32)

    inputs = recursion_inputs(windows, small_study(), SHAPE, "a" * 64)

    theirs = KeyedNoise(5, "a" * 64, 3)(4, 2, (128,))  # second pass, fifth slice, third draw
    np.testing.assert_allclose(inputs["noise"][1, 2, 4], theirs.numpy(), rtol=2e-5, atol=2e-6)
    assert inputs["noise"].shape == (2, 3, 6, 128)


def test_the_last_slice_of_a_window_has_no_neighbour() -> None:
    windows = np.zeros((2, 3, 1, 16, 16), np.float32)

    inputs = recursion_inputs(windows, small_study(), SHAPE, "a")

    assert inputs["neighbours"].tolist() == [1, 1, 0, 1, 1, 0]


@pytest.mark.parametrize("slices_in", [1, 3, 5])
def test_slices_are_stacked_as_in_training(slices_in: int) -> None:
    images = np.random.default_rng(0).normal(size=(4, 2, 3, 3)).astype(np.float32)

    found = with_neighbours(images, slices_in)

    assert torch.equal(torch.from_numpy(found), cases.with_neighbours(images, slices_in))


@pytest.mark.parametrize("share", [0.5, 0.0])
def test_evidence_is_that_of_the_network(share: float) -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, (4, 5, 5)) * (share > 0)
    core = rng.random((4, 2, 5, 5)) < share
    support = core | (rng.random(core.shape) < share)
    probabilities = torch.nn.functional.one_hot(torch.from_numpy(labels), 3).movedim(-1, 1).float()
    masks = torch.from_numpy(core), torch.from_numpy(support)
    rest = {"hint": torch.zeros(0), "information": torch.zeros(0), "changed": None}
    one = Pass(probabilities, *masks, **rest, entropy=0.0, noise_ratio=0.0)

    theirs = evidence_of(Refinement((one,), 0))

    assert outside_core(labels, core) == pytest.approx(theirs.uncertain_fraction)
    assert agreement(core, support) == pytest.approx(theirs.core_support_agreement)


def exported(folder: Path, form: ExportFormat = "onnx") -> Path:
    """Write a folder that looks exported; its program is none."""
    model = write_model(folder)
    (folder / "recursion.onnx").write_bytes(b"no program")
    card = ExportedModel(
        format=form,
        model_hash=model.model_hash,
        study_hash=model.study_hash,
        inputs=SHAPE,
        parity=Parity(runtime="none", slices=1, max_difference=0, labels_equal=1),
        files=digests(folder),
        versions={},
    )
    (folder / "export.json").write_text(card.model_dump_json())
    return folder


def test_an_exported_folder_is_known_by_its_export_json(tmp_path: Path) -> None:
    assert not is_exported(tmp_path)
    assert is_exported(exported(tmp_path))
    assert is_exported(tmp_path / "recursion.onnx")


def test_a_changed_file_is_refused_before_it_is_run(tmp_path: Path) -> None:
    exported(tmp_path)
    (tmp_path / "recursion.onnx").write_bytes(b"another program")

    with pytest.raises(UntrustedError, match=r"another recursion\.onnx"):
        OnnxPredictor.of(tmp_path)


def test_the_card_of_another_model_is_refused(tmp_path: Path) -> None:
    text = (exported(tmp_path) / "export.json").read_text()
    other = ExportedModel.model_validate_json(text).model_copy(update={"model_hash": "ab" * 32})
    (tmp_path / "export.json").write_text(other.model_dump_json())

    with pytest.raises(UntrustedError, match=r"model\.json of another model"):
        OnnxPredictor.of(tmp_path)


def test_another_format_and_a_folder_without_an_export_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one of format torch-export"):
        OnnxPredictor.of(exported(tmp_path, "torch-export"))
    with pytest.raises(UsageError, match=r"no export\.json that can be read"):
        OnnxPredictor.of(tmp_path / "absent")
