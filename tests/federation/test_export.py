"""A trained model in other formats, each run by its own runtime beside the network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from export_samples import trained_run
from synthetic import AFFINE, blob, write_volume
from typer.testing import CliRunner

from crisp_client.cli import app as client
from crisp_client.device import Workbench
from crisp_client.prediction.inputs import Opened, opened, sources_in
from crisp_client.prediction.onnx_predictor import OnnxPredictor
from crisp_client.prediction.predictor import TorchPredictor
from crisp_core.files.export.programs import programs_of
from crisp_core.files.export.write import digests
from crisp_core.files.released import read_released
from crisp_core.schema.exported import ExportedModel
from crisp_server.cli import app as server

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("default")]
WITHOUT_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is not here")
sys.meta_path.insert(0, NoTorch())
from crisp_client.cli import main
main()
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_run(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    array, _ = blob((30, 26, 5), 2, seed=77)
    return write_volume(tmp_path_factory.mktemp("images") / "new.nii.gz", array, AFFINE)


@pytest.fixture(scope="module")
def onnx(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(run, "onnx", tmp_path_factory.mktemp("onnx") / "out")


@pytest.fixture(scope="module")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(run, "monai", tmp_path_factory.mktemp("monai") / "out")


def exported(run: Path, form: str, out: Path) -> Path:
    done = CliRunner().invoke(server, ["export", str(run), "--format", form, "-o", str(out)])
    assert done.exit_code == 0, (done.output, done.exception)
    return out


def card_of(folder: Path) -> ExportedModel:
    return ExportedModel.model_validate_json((folder / "export.json").read_text())


def opened_by(run: Path, image: Path) -> tuple[TorchPredictor, Opened]:
    predictor = TorchPredictor.of(*read_released(run), Workbench(torch.device("cpu")))
    [source] = sources_in(image)
    return predictor, opened(source, predictor.model.study)


def test_an_export_says_which_model_it_is_and_how_true(run: Path, onnx: Path) -> None:
    card, model = card_of(onnx), read_released(run)[0]

    assert (card.model_hash, card.study_hash) == (model.model_hash, model.study_hash)
    assert card.parity.labels_equal == 1
    assert card.parity.max_difference < 1e-5
    assert card.files == digests(onnx)
    assert {"model.json", "pass.onnx", "recursion.onnx"} <= set(card.files)


def test_onnx_answers_as_the_trained_network(run: Path, onnx: Path, image: Path) -> None:
    network, case = opened_by(run, image)

    theirs, ours = network.answer(case), OnnxPredictor.of(onnx, threads=1).answer(case)

    assert (theirs.labels > 0).mean() > 0.05  # it was trained: discs are found
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    assert np.abs(ours.probabilities - theirs.probabilities).max() < 1e-4
    assert (ours.core != theirs.core).mean() < 1e-3
    assert (ours.support != theirs.support).mean() < 1e-3
    assert (ours.chosen, ours.recursions, ours.windows) == (theirs.chosen, theirs.recursions, 1)
    assert ours.entropy == pytest.approx(theirs.entropy, rel=1e-4)
    assert ours.evidence.recursion_change == pytest.approx(
        theirs.evidence.recursion_change, abs=1e-3
    )
    assert ours.changed == pytest.approx(theirs.changed, abs=1e-3)


def test_predict_runs_an_exported_model_where_there_is_no_torch(
    run: Path, onnx: Path, image: Path, tmp_path: Path
) -> None:
    done = CliRunner().invoke(client, ["predict", str(run), str(image), "-o", str(tmp_path / "a")])
    assert done.exit_code == 0, done.output
    words = ["predict", str(onnx), str(image), "-o", str(tmp_path / "b"), "--threads", "1"]

    without = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *words], capture_output=True, text=True, check=False
    )

    assert without.returncode == 0, without.stderr
    one, other = (nib.load(tmp_path / n / "new" / "labels.nii.gz") for n in "ab")
    np.testing.assert_array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))


def test_a_network_whose_torch_is_missing_is_not_run_in_silence(
    run: Path, image: Path, tmp_path: Path
) -> None:
    words = ["predict", str(run), str(image), "-o", str(tmp_path / "c")]

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *words], capture_output=True, text=True, check=False
    )

    assert done.returncode != 0  # the test before this one would be worthless


def test_nothing_that_was_exported_is_written_over(run: Path, onnx: Path) -> None:
    done = CliRunner().invoke(server, ["export", str(run), "-o", str(onnx)])

    assert done.exit_code == 3
    assert "Nothing is overwritten" in done.output


def test_programs_of_torch_export_answer_as_the_network(run: Path, tmp_path: Path) -> None:
    (run / "MODEL_CARD.md").write_text("# Model card\n")

    out = exported(run, "torch-export", tmp_path / "out")

    card = card_of(out)
    assert card.parity.labels_equal == 1
    assert card.parity.max_difference < 1e-5
    assert {"pass.pt2", "recursion.pt2", "MODEL_CARD.md", "model.json"} <= set(card.files)


def test_monai_finds_the_networks_inputs_and_outputs_as_the_metadata_says(bundle: Path) -> None:
    from monai.bundle import verify_net_in_out

    verify_net_in_out(
        net_id="network_def",
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(bundle / "configs" / "inference.json"),
        bundle_root=str(bundle),
        device="cpu",
    )


def test_the_metadata_has_what_monai_asks_of_a_bundle(bundle: Path, tmp_path: Path) -> None:
    from monai.bundle import verify_metadata

    required = ["version", "changelog", "monai_version", "pytorch_version", "numpy_version"]
    required += ["required_packages_version", "task", "description", "authors", "copyright"]
    required += ["network_data_format", "schema"]
    shape = {"type": "object", "required": ["num_channels", "spatial_shape", "dtype"]}
    schema = {
        "type": "object",
        "required": required,
        "properties": {
            "version": {"type": "string"},
            "changelog": {"type": "object"},
            "network_data_format": {
                "type": "object",
                "required": ["inputs", "outputs"],
                "properties": {
                    "inputs": {"properties": {"image": shape}, "required": ["image"]},
                    "outputs": {"properties": {"pred": shape}, "required": ["pred"]},
                },
            },
        },
    }
    place = tmp_path / "schema.json"
    place.write_text(json.dumps(schema))

    verify_metadata(str(bundle / "configs" / "metadata.json"), filepath=str(place))


def test_the_bundle_runs_under_monais_own_workflow(
    run: Path, bundle: Path, image: Path, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    shutil.copy(image, tmp_path / "images")
    workflow = monai_workflow(bundle, tmp_path)

    workflow.run()

    network, case = opened_by(run, image)
    expected = network.answer(case).labels
    found = np.asarray(nib.load(tmp_path / "labels" / "new_labels.nii.gz").dataobj)
    assert found.shape == (30, 26, 5)
    [written] = sources_in(tmp_path / "labels" / "new_labels.nii.gz")
    ours = opened(written, network.model.study).volume.array[0]
    assert dice(ours > 0, expected > 0) > 0.9  # one pass, and MONAI's own resampling


def test_the_bundles_recursion_is_the_models(
    run: Path, bundle: Path, image: Path, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    shutil.copy(image, tmp_path / "images")

    refined = monai_workflow(bundle, tmp_path).parser.get_parsed_content("refined")

    network, case = opened_by(run, image)
    programs = programs_of(*read_released(run))
    images = torch.from_numpy(case.images[0])
    noise = torch.randn(
        2, 3, 5, programs.inputs.noise_length, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        expected = programs.recursion.answer(images, noise, torch.ones(5)).probabilities
    found = refined[0].argmax(dim=1).numpy()
    assert network.model.recursions == len(refined[3]) == 2
    assert dice(found > 0, expected.argmax(dim=1).numpy() > 0) > 0.9  # MONAI resamples otherwise


def monai_workflow(bundle: Path, place: Path) -> Any:
    from monai.bundle import ConfigWorkflow

    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "inference.json"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        workflow_type="infer",
        logging_file=False,
        bundle_root=str(bundle),
        dataset_dir=str(place / "images"),
        output_dir=str(place / "labels"),
    )
    workflow.initialize()
    return workflow


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())
