from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from federation_samples import study, trained

from crisp_core.numerics.control import own_control
from crisp_core.schema.beside import CONTROL, beside, model_of
from crisp_core.schema.manifest import Progress, RunFacts
from crisp_core.schema.study import Study
from crisp_server.rounds import train_round
from crisp_server.sites import SiteReply
from crisp_server.steps import TrainRound
from crisp_server.store import RunFolder

RATE, STEPS, ROUNDS = 0.05, 10, 60
CURVES = {"east": (1.0, 0.0, 3), "north": (8.0, 1.0, 1)}
"""Site -> curvature a, place b of its own optimum, cases: its loss is a/2 (w - b)^2."""
OPTIMUM = 8.0 / 11.0
"""sum(n a b) / sum(n a) = (3*1*0 + 1*8*1) / (3*1 + 1*8)"""


class Bowls:
    """Sites that take several steps down their own bowls, each with its control variate."""

    def __init__(self, *, forgets_rate: bool = False) -> None:
        self.own = {site: np.float64([0.0]) for site in CURVES}
        self.rates = STEPS * (1.0 if forgets_rate else RATE)

    def ask(self, action, plans, parameters) -> Iterator[SiteReply]:
        del action
        (sent,) = model_of(parameters).values()
        (common,) = beside(parameters, CONTROL).values() or (np.zeros(1),)
        for site in plans:
            curvature, place, cases = CURVES[site]
            weight = sent.astype(np.float64)
            for _ in range(STEPS):
                weight = weight - RATE * (curvature * (weight - place) - self.own[site] + common)
            if CONTROL + "w" in parameters:
                self.own[site] = own_control(self.own[site], common, sent, weight, self.rates)
            yield SiteReply(site, trained(cases).model_dump_json(), {"w": weight.astype("f4")})


def study_with(correction: str) -> Study:
    raw = json.loads(study(method="fedavg").model_dump_json())
    raw["sites"] = {site: {"role": "source"} for site in CURVES}
    raw["federation"]["correction"] = correction
    keys = {"learning_rate": RATE, "decay_power": 0.0, "optimizer": "sgd", "steps": STEPS * ROUNDS}
    raw["training"] |= keys
    return Study.model_validate_json(json.dumps(raw))


def settled(folder: Path, correction: str, sites: Bowls) -> float:
    """Run the coordinator's own rounds until nothing moves any more."""
    chosen = study_with(correction)
    run = RunFolder.create(
        folder, chosen, RunFacts(engine="", started="", versions={}, commands=())
    )
    weights, step = {"w": np.float32([3.0])}, TrainRound(1, 1, 0, STEPS)
    for number in range(ROUNDS):
        result = train_round(
            chosen, replace(step, first_step=number * STEPS), weights, (), sites, run
        )
        weights = result.parameters
        kept = run.keep_model(result.memory) if result.memory else ""
        run.save(weights, Progress(aggregation_memory=kept))
    return float(weights["w"][0])


def test_scaffold_reaches_the_optimum_where_fedavg_with_several_steps_is_biased(tmp_path) -> None:
    averaged = settled(tmp_path / "fedavg", "none", Bowls())
    corrected = settled(tmp_path / "scaffold", "scaffold", Bowls())

    pulls = {s: n * (1 - (1 - RATE * a) ** STEPS) for s, (a, _, n) in CURVES.items()}
    assert averaged == pytest.approx(pulls["north"] / sum(pulls.values()), abs=1e-5)
    assert abs(averaged - OPTIMUM) > 0.2
    assert corrected == pytest.approx(OPTIMUM, abs=1e-4)


def test_a_site_that_leaves_the_rate_out_of_its_variate_stays_biased(tmp_path: Path) -> None:
    trapped = settled(tmp_path / "run", "scaffold", Bowls(forgets_rate=True))

    assert abs(trapped - OPTIMUM) > 0.05


def test_no_variate_comes_back_from_a_site(tmp_path: Path) -> None:
    class Telling(Bowls):
        def ask(self, action, plans, parameters):
            for reply in super().ask(action, plans, parameters):
                yield replace(reply, parameters={**reply.parameters, CONTROL + "w": np.zeros(1)})

    with pytest.raises(Exception, match="unknown array 'control/w'"):
        settled(tmp_path / "run", "scaffold", Telling())


def test_scaffold_needs_plain_gradient_steps() -> None:
    raw = json.loads(study_with("scaffold").model_dump_json())
    raw["training"]["optimizer"] = "adam"

    with pytest.raises(ValueError, match="sgd"):
        Study.model_validate_json(json.dumps(raw))
