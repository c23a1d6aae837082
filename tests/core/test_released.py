from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from report_samples import run_summary

from crisp_core.arrays import Parameters
from crisp_core.errors import RunStateError, UntrustedError, UsageError, WeightsError
from crisp_core.files.checkpoint import content_hash, write_parameters
from crisp_core.files.released import read_released, released_of, write_released
from crisp_core.schema.released import ReleasedModel

WEIGHTS: Parameters = {"b": np.float32([1, 2]), "a": np.arange(3)}


def released(folder: Path) -> ReleasedModel:
    """A run folder with a model, as a finished run leaves it."""
    summary = run_summary().model_copy(update={"model_hash": content_hash(WEIGHTS)})
    model = released_of(summary)
    write_parameters(folder / "model.safetensors", WEIGHTS, {})
    write_released(folder, model)
    return model


def test_a_released_model_comes_back_as_it_was_written(tmp_path: Path) -> None:
    model = released(tmp_path)

    for place in (tmp_path, tmp_path / "model.safetensors"):
        found, weights = read_released(place)
        assert found == model
        assert list(weights) == ["b", "a"]
        assert weights["a"].tolist() == [0, 1, 2]


def test_a_released_model_says_how_each_site_did(tmp_path: Path) -> None:
    summary = run_summary()

    score = released_of(summary).sites["vendor-d"]

    cases = summary.final["vendor-d"].cases
    mean = sum(case.answer.structures["myocardium"].dice for case in cases) / len(cases)
    assert (score.role, score.cases) == ("held-out", len(cases))
    assert score.dice["myocardium"] == pytest.approx(mean)


def test_a_released_model_names_no_place_of_its_data(tmp_path: Path) -> None:
    model = released(tmp_path)

    assert all(site.data == () for site in model.study.sites.values())


def test_other_weights_than_the_card_names_are_refused(tmp_path: Path) -> None:
    released(tmp_path)
    write_parameters(tmp_path / "model.safetensors", {**WEIGHTS, "a": np.arange(3) + 1}, {})

    with pytest.raises(UntrustedError, match="must not be used"):
        read_released(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda folder: (folder / "model.json").unlink(), UsageError),
        (lambda folder: (folder / "model.safetensors").unlink(), UsageError),
        (lambda folder: (folder / "model.json").write_text("{"), UsageError),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x04."), RunStateError),
    ],
)
def test_a_folder_that_holds_no_whole_model_is_named(tmp_path: Path, spoil, error) -> None:
    released(tmp_path)
    spoil(tmp_path)

    with pytest.raises(error, match=r"model\.(json|safetensors)"):
        read_released(tmp_path)


def test_a_card_whose_study_was_changed_is_refused(tmp_path: Path) -> None:
    released(tmp_path)
    card = tmp_path / "model.json"
    card.write_text(card.read_text().replace('"seed": 0', '"seed": 1'))

    with pytest.raises(UntrustedError, match="must not be used"):
        read_released(tmp_path)


def test_a_model_is_read_by_a_later_version_whose_studies_have_more_options(
    tmp_path: Path,
) -> None:
    released(tmp_path)
    card = json.loads((tmp_path / "model.json").read_text())
    del card["study"]["training"]["proximal"]  # as if this version had added it
    text = json.dumps(card["study"], sort_keys=True, separators=(",", ":"))
    card["study_hash"] = hashlib.sha256(text.encode()).hexdigest()
    (tmp_path / "model.json").write_text(json.dumps(card))

    assert read_released(tmp_path)[0].study.training.proximal == 0


@pytest.mark.parametrize(("unseen", "refused"), [("adapt", True), ("mean", False)])
def test_a_model_that_each_hospital_must_adapt_is_refused(
    tmp_path: Path, unseen: str, *, refused: bool
) -> None:
    """Its statistics are an untrained network's: whatever it answers is of no use."""
    weights: Parameters = {"stage.norm.running_mean": np.zeros(2, np.float32)}
    federation = {"local_norm": "all", "unseen_norm": unseen}
    summary = run_summary()
    study = summary.study.model_copy(
        update={"federation": summary.study.federation.model_copy(update=federation)}
    )
    changed = {"study": study, "study_hash": study.hash(), "model_hash": content_hash(weights)}
    write_parameters(tmp_path / "model.safetensors", weights, {})
    write_released(tmp_path, released_of(summary.model_copy(update=changed)))

    if refused:
        with pytest.raises(WeightsError, match="those of an untrained one"):
            read_released(tmp_path)
    else:
        assert list(read_released(tmp_path)[1]) == list(weights)
