from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from federation_samples import study, trained

from crisp_core.errors import QuorumError
from crisp_core.schema.manifest import Progress, RunFacts
from crisp_core.schema.messages import SiteFault
from crisp_core.schema.study import Study
from crisp_core.schema.summary import RoundSummary
from crisp_server.rounds import train_round
from crisp_server.sites import SiteReply
from crisp_server.steps import TrainRound, round_plan
from crisp_server.store import RunFolder

FACTS = RunFacts(engine="inline", started="", versions={}, commands=())


class PullTowards:
    """Sites that move each weight halfway to their own centre; listed in order of arrival."""

    def __init__(self, centres: dict[str, tuple[float, int]]) -> None:
        self.centres = centres

    def ask(self, action, plans, parameters) -> Iterator[SiteReply]:
        for site, (centre, cases) in self.centres.items():
            if site in plans:
                moved = (parameters["w"] + np.float32(centre)) / 2
                yield SiteReply(site, trained(cases).model_dump_json(), {"w": moved})


def run_folder(path: Path, **keys) -> RunFolder:
    return RunFolder.create(path, study(**keys), FACTS)


STEP = TrainRound(generation=1, round_number=1, first_step=0, steps=1)
START = {"w": np.float32([9.0])}


def test_rounds_settle_at_the_case_weighted_mean_of_the_sites(tmp_path: Path) -> None:
    run, sites = run_folder(tmp_path / "run"), PullTowards({"north": (0.0, 30), "east": (4.0, 10)})
    weights = START

    for _ in range(40):
        weights = train_round(study(), STEP, weights, (), sites, run).parameters

    np.testing.assert_allclose(weights["w"], [1.0], atol=1e-6)  # (0*30 + 4*10) / 40


def test_the_order_of_arrival_does_not_move_a_bit(tmp_path: Path) -> None:
    centres = {"north": (0.1, 7), "east": (1 / 3, 11)}
    reverse = dict(reversed(centres.items()))

    one = train_round(study(), STEP, START, (), PullTowards(centres), run_folder(tmp_path / "1"))
    other = train_round(study(), STEP, START, (), PullTowards(reverse), run_folder(tmp_path / "2"))

    assert one.parameters["w"].tobytes() == other.parameters["w"].tobytes()
    assert one.summary == other.summary


class Sabotaged(PullTowards):
    """East's update is not a number."""

    def ask(self, action, plans, parameters):
        for reply in super().ask(action, plans, parameters):
            bad = {"w": np.float32([np.nan])}
            yield reply if reply.site != "east" else SiteReply("east", reply.figures, bad)


def test_a_refused_update_is_named_with_its_reason_and_does_not_count(tmp_path: Path) -> None:
    whole = study()
    lenient = whole.model_copy(
        update={"federation": whole.federation.model_copy(update={"quorum": 1})}
    )
    sites = Sabotaged({"north": (0.0, 30), "east": (4.0, 10)})

    result = train_round(lenient, STEP, START, (), sites, run_folder(tmp_path / "run"))

    np.testing.assert_array_equal(result.parameters["w"], [4.5])  # north alone: (9 + 0) / 2
    assert list(result.summary.trained) == ["north"]
    assert "nan" in result.summary.missing["east"]


def test_too_few_updates_end_the_round_and_name_who_was_missing(tmp_path: Path) -> None:
    sites = PullTowards({"north": (0.0, 30)})

    with pytest.raises(QuorumError, match=r"2 updates, got 1.*east: no answer in time"):
        train_round(study(), STEP, START, (), sites, run_folder(tmp_path / "run"))


class Forgetful(PullTowards):
    """East has lost its hints until it is asked to make them again."""

    def __init__(self, centres, run) -> None:
        super().__init__(centres)
        self.run, self.made = run, []

    def ask(self, action, plans, parameters):
        if action == "hints":
            self.made += [(plan.generation, float(parameters["w"][0])) for plan in plans.values()]
            return
        for reply in super().ask(action, plans, parameters):
            lost = reply.site == "east" and len(self.made) < 2
            fault = SiteFault(code="hints-missing", sentence="none here")
            yield SiteReply("east", fault=fault) if lost else reply


def test_a_site_without_its_hints_makes_every_generation_again(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", generations=3)
    models = tuple(run.keep_model({"w": np.float32([k])}) for k in (1.0, 2.0))
    sites = Forgetful({"north": (0.0, 1), "east": (4.0, 1)}, run)
    step = next(r for r in round_plan(study(generations=3)) if r.generation == 3)

    result = train_round(study(generations=3), step, START, models, sites, run)

    assert sites.made == [(2, 1.0), (3, 2.0)]  # H(2) with M(1), H(3) with M(2)
    assert not result.summary.missing


class Talkative(PullTowards):
    """East's figures are not figures, or count no case."""

    def __init__(self, centres, figures: str) -> None:
        super().__init__(centres)
        self.figures = figures

    def ask(self, action, plans, parameters):
        for reply in super().ask(action, plans, parameters):
            odd = replace(reply, figures=self.figures)
            yield odd if reply.site == "east" else reply


@pytest.mark.parametrize("figures", ["", "{}", trained(1).model_dump_json().replace("1", "0", 1)])
def test_an_update_without_usable_figures_does_not_count(tmp_path: Path, figures: str) -> None:
    sites = Talkative({"north": (0.0, 30), "east": (4.0, 10)}, figures)

    with pytest.raises(QuorumError, match=r"2 updates, got 1.*east: .*figures"):
        train_round(study(), STEP, START, (), sites, run_folder(tmp_path / "run"))


PULLED = {"east": (4.0, 10), "north": (0.0, 10), "west": (30.0, 10)}
"""West pulls up where the others pull down."""
SQUARE = {"w": np.full((2, 2), 9.0, np.float32)}


def study_of_three(**federation) -> Study:
    raw = study().model_dump(mode="json")
    raw["sites"]["west"] = raw["sites"]["east"]
    raw["federation"] |= federation
    return Study.model_validate_json(json.dumps(raw))


def after_round_1(path: Path, whole: Study, agreement: dict[str, float]) -> RunFolder:
    """A run that was stopped after a round in which the sites agreed so much."""
    run = RunFolder.create(path, whole, FACTS)
    one = RoundSummary(generation=1, round_number=1, trained={}, missing={}, agreement=agreement)
    run.save(SQUARE, Progress(rounds=(one,)))
    return RunFolder.open(path)


@pytest.mark.parametrize(("before", "counts"), [(0.5, False), (0.1, True)])
def test_a_run_that_goes_on_knows_who_agreed_before(tmp_path: Path, before, counts) -> None:
    whole = study_of_three(quorum=2)
    run = after_round_1(tmp_path / "run", whole, {"east": 0.4, "north": 0.4, "west": before})

    summary = train_round(whole, STEP, SQUARE, (), PullTowards(PULLED), run).summary

    assert ("west" in summary.trained) == counts == ("west" in summary.agreement)
    assert counts or "points against the others'" in summary.missing["west"]


def test_a_study_that_a_direction_stops_says_what_to_do(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", study_of_three(), FACTS)

    with pytest.raises(QuorumError) as caught:
        train_round(run.study, STEP, SQUARE, (), PullTowards(PULLED), run)

    assert "west: refused: its change points against the others'" in caught.value.where
    assert 'start anew with federation.admission = "finite" or without' in caught.value.fix
    assert "images and masks of west" in caught.value.fix
