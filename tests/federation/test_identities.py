"""Where two methods must be the same to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from federation_on_disk import tiny_study
from hospitals_in_process import settings_of, trained_rounds

from crisp_client.cases import open_cases
from crisp_client.device import workbench_of
from crisp_client.training import train_round
from crisp_core.arrays import Parameters
from crisp_core.files.checkpoint import content_hash
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.parameters import to_arrays
from crisp_core.schema.beside import CONTROL, beside
from crisp_core.schema.messages import TrainPlan
from crisp_core.schema.methods import COMPARATORS
from crisp_core.schema.study import Study
from crisp_server.steps import round_plan

pytestmark = pytest.mark.slow
QUICK = ("fedavg", "fedbn", "scaffold", "geometric-median")
STEPS_OF_THEIR_OWN = {"fedavgm", "fedadam", "fedyogi", "fedadagrad"}
"""Words whose coordinator steps further, or less far, than its sites went."""


def plain_study(folder: Path, method: str, sources: int = 2, **sections: Any) -> Study:
    """Two rounds of one generation with one or two sources and nobody held out."""
    study = tiny_study(
        folder,
        method=method,
        federation={"rounds": 2, **sections.pop("federation", {})},
        crisp={"generations": 1, "perturbations": 1, "phase_shares": [1]},
        training={"steps": 4, "batch_size": 2, **sections.pop("training", {})},
        **sections,
    )
    names = study.sources[:sources]
    return study.model_copy(update={"sites": {name: study.sites[name] for name in names}})


def trained(folder: Path, study: Study, name: str = "federation") -> Parameters:
    return trained_rounds(study, folder / name)[1][-1].parameters


def trained_alone(folder: Path, study: Study) -> Parameters:
    """Train one network at the site, round after round, with no coordinator in between."""
    settings = settings_of(study, study.sources[0], folder / "alone")
    site, bench = open_cases(settings, study), workbench_of(settings)
    network = bench.placed(segmenter_of(study))
    for step in round_plan(study):
        keys = {"round_number": step.round_number, "first_step": step.first_step}
        plan = TrainPlan(generation=1, steps=step.steps, models=(), **keys)
        train_round(site, network, plan, bench)
    return to_arrays(network)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(word, marks=() if word in QUICK else pytest.mark.long)
        for word in ("fedavg", *COMPARATORS)
        if word not in STEPS_OF_THEIR_OWN
    ],
)
def test_a_federation_of_one_is_that_sites_own_training(tmp_path: Path, method: str) -> None:
    study = plain_study(tmp_path, method, sources=1)

    federation, alone = trained(tmp_path, study), trained_alone(tmp_path, study)

    assert content_hash(federation) == content_hash(alone)


def test_fedprox_without_its_term_is_fedavg(tmp_path: Path) -> None:
    prox = plain_study(tmp_path, "fedprox", training={"proximal": 0.0})
    pulled = plain_study(tmp_path, "fedprox")

    plain = content_hash(trained(tmp_path, plain_study(tmp_path, "fedavg"), "fedavg"))

    assert content_hash(trained(tmp_path, prox, "prox")) == plain
    assert content_hash(trained(tmp_path, pulled, "pulled")) != plain


def test_scaffold_is_fedavg_until_the_sites_directions_are_known(tmp_path: Path) -> None:
    plain = trained_rounds(plain_study(tmp_path, "fedavg-sgd"), tmp_path / "sgd")[1]

    run, corrected = trained_rounds(plain_study(tmp_path, "scaffold"), tmp_path / "scaffold")

    first, last = ([content_hash(r[n].parameters) for r in (plain, corrected)] for n in (0, 1))
    assert first[0] == first[1]
    assert last[0] != last[1]
    names = {name for name, _ in segmenter_of(run.study).named_parameters()}
    assert set(beside(run.aggregation_memory(), CONTROL)) == names


@pytest.mark.parametrize(
    "method",
    [
        "crisp+scaffold+fedbn",
        pytest.param("crisp-paper+krum", marks=pytest.mark.long),
        pytest.param("crisp-no-squeeze+fedadam", marks=pytest.mark.long),
    ],
)
def test_a_way_to_average_goes_with_crisp(tmp_path: Path, method: str) -> None:
    study = plain_study(tmp_path, method)

    (_, results) = trained_rounds(study, tmp_path / "run")

    assert study.crisp.hint != "none"
    assert [len(result.summary.trained) for result in results] == [2, 2]
