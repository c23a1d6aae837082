from __future__ import annotations

from pathlib import Path

import pytest
from site_samples import east

from crisp_client.actions import Request, describe, train
from crisp_core.errors import StudyError
from crisp_core.schema.messages import SiteDescription, TrainPlan


def test_a_description_counts_and_names_nobody(tmp_path: Path) -> None:
    settings, study = east(tmp_path)

    figures = describe(Request(settings, study, "", {})).figures

    assert isinstance(figures, SiteDescription)
    assert (figures.train_cases, figures.validation_cases, figures.patients) == (2, 1, 3)
    assert figures.train_slices == 8
    assert figures.spacing_mm_median == (8.0, 1.5, 1.5)
    assert "east-1" not in figures.model_dump_json()


def test_a_held_out_site_refuses_to_train(tmp_path: Path) -> None:
    settings, study = east(tmp_path)
    south = settings.model_copy(update={"site": "south"})
    plan = TrainPlan(generation=1, round_number=1, first_step=0, steps=1, models=())

    with pytest.raises(StudyError, match="held-out"):
        train(Request(south, study, plan.model_dump_json(), {}))
