"""A small model that was never trained and images for it, for tests of prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from crisp_client.device import Workbench
from crisp_client.prediction.predictor import TorchPredictor
from crisp_core.files.checkpoint import content_hash, write_parameters
from crisp_core.files.released import read_released, write_released
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.parameters import to_arrays
from crisp_core.schema.released import ReleasedModel
from crisp_core.schema.study import CrispConfig, ImagesConfig, ModelConfig, SiteEntry, Study

CLASSES = ("LV", "MYO")


def small_study(**sections: Any) -> Study:
    """Two structures, slices of 16 x 16, two recursions."""
    values = {
        "name": "small",
        "seed": 5,
        "classes": CLASSES,
        "sites": {"north": SiteEntry(role="source")},
        "model": ModelConfig(width=8),
        "images": ImagesConfig(size=(16, 16)),
        "crisp": CrispConfig(generations=2, perturbations=3, phase_shares=(1.0, 1.0)),
    }
    return Study(**{**values, **sections})


def write_model(folder: Path, study: Study | None = None, recursions: int = 2) -> ReleasedModel:
    """Write a released model with the weights that its network starts from."""
    study = study or small_study()
    weights = to_arrays(segmenter_of(study))
    model = ReleasedModel(
        study=study,
        study_hash=study.hash(),
        model_hash=content_hash(weights),
        generation=recursions,
        recursions=recursions,
        versions={"crisp-fl": "0.1.0"},
        created="2026-11-20T08:00:00+00:00",
    )
    write_parameters(folder / "model.safetensors", weights, {})
    write_released(folder, model)
    return model


def predictor(folder: Path, study: Study | None = None, recursions: int = 2) -> TorchPredictor:
    """Return a predictor of such a model on the CPU."""
    import torch

    write_model(folder, study, recursions)
    return TorchPredictor.of(*read_released(folder), Workbench(torch.device("cpu")))


def write_image(
    path: Path,
    shape: tuple[int, ...] = (20, 18, 4),
    affine: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Write a bright blob in noise as NIfTI; returns the array as stored."""
    grid = np.indices(shape[:3]) / (np.array(shape[:3]).reshape(3, 1, 1, 1) - 0.999) - 0.5
    noise = np.random.default_rng(seed).normal(0, 0.1, shape)
    blob = np.exp(-12 * (grid**2).sum(axis=0)).reshape(shape[:3] + (1,) * (len(shape) - 3))
    array = (blob + noise).astype(np.float32)
    affine = np.diag([1.5, 1.5, 8.0, 1.0]) if affine is None else affine
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return array
