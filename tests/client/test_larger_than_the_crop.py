"""An image larger than the study's crop: where a model is measured, and where it is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from linear_segmenter import LinearSegmenter
from released_samples import write_model
from site_samples import east
from synthetic import write_volume

from crisp_client.cases import open_cases
from crisp_client.device import Workbench
from crisp_client.evaluation import evaluate_cases
from crisp_client.prediction.inputs import opened, sources_in
from crisp_client.prediction.predictor import TorchPredictor
from crisp_core.schema.messages import EvaluatePlan
from crisp_core.schema.study import Study

CPU = Workbench(torch.device("cpu"))
BRIGHT = LinearSegmenter(torch.tensor([[0.0], [10.0]]))
"""Whatever is brighter than the middle is the structure."""
SQUARE, WINDOW, SLICES = 12 * 12, 8 * 8, 3


@pytest.fixture
def site(tmp_path: Path):
    """A bright square of 12 x 12 in 16 x 16, a second one in a corner; the crop sees 8 x 8."""
    settings, study = east(
        tmp_path,
        classes=["bright"],
        images={"size": [8, 8], "fit": "crop", "percentiles": [0, 100]},
        crisp={"hint": "none", "generations": 1, "phase_shares": [1]},
        training={"steps": 2},
    )
    image = np.zeros((16, 16, SLICES), np.int16)
    image[2:14, 2:14] = 100
    labels = (image > 0).astype(np.uint8)
    image[15, 15] = 100  # nobody's structure
    for path in Path(settings.data[0]).glob("images/*.nii.gz"):
        write_volume(path, image)
        write_volume(path.parents[1] / "labels" / path.name, labels)
    return open_cases(settings, study), study


def test_what_lies_outside_the_crop_counts_as_missed_where_a_model_is_measured(site) -> None:
    cases, _ = site
    plan = EvaluatePlan(purpose="validation", generation=1, recursions=1)

    figures = evaluate_cases(cases, BRIGHT, plan, CPU).cases[0].answer.structures["bright"]

    assert figures.reference_voxels == SQUARE * SLICES
    assert figures.predicted_voxels == WINDOW * SLICES
    assert figures.dice == pytest.approx(2 * WINDOW / (WINDOW + SQUARE))
    assert figures.sensitivity == pytest.approx(WINDOW / SQUARE)
    assert figures.precision == 1.0  # the bright corner is outside: it cannot be a false find


def test_where_it_is_used_windows_see_all_of_it(site, tmp_path: Path) -> None:
    cases, study = site
    model = write_model(tmp_path / "model", Study.model_validate_json(study.canonical()), 1)
    [source, *_] = sources_in(Path(cases.settings.data[0]))

    answer = TorchPredictor(model, BRIGHT, CPU).answer(opened(source, study))

    assert answer.windows == 9  # three by three, each sharing half of itself with the next
    assert answer.labels.sum() == (SQUARE + 1) * SLICES
