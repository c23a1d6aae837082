from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from federation_samples import study, trained

from crisp_core.numerics import aggregation
from crisp_core.numerics.aggregation.registry import rules
from crisp_core.schema.manifest import Progress, RunFacts
from crisp_core.schema.study import Study
from crisp_server.rounds import RoundResult, train_round
from crisp_server.sites import SiteReply
from crisp_server.steps import TrainRound
from crisp_server.store import RunFolder

STEP = TrainRound(generation=1, round_number=1, first_step=0, steps=1)
START = {"w": np.float32([8.0])}
CENTRES = {"east": 0.0, "north": 2.0, "west": -96.0}  # one far away


class Pulling:
    """Sites that move the weight halfway to their own centre."""

    def ask(self, action, plans, parameters) -> Iterator[SiteReply]:
        for site in plans:
            moved = (parameters["w"] + np.float32(CENTRES[site])) / 2
            yield SiteReply(site, trained(10).model_dump_json(), {"w": moved})


def study_of(aggregation: str, count: int = 3) -> Study:
    raw = json.loads(study().model_dump_json())
    raw["sites"] = {site: {"role": "source"} for site in list(CENTRES)[:count]}
    raw["federation"] |= {"aggregation": aggregation, "admission": "finite"}
    return Study.model_validate_json(json.dumps(raw))


def one_round(folder: Path, aggregation: str, count: int = 3) -> tuple[RunFolder, RoundResult]:
    chosen = study_of(aggregation, count)
    facts = RunFacts(engine="inline", started="", versions={}, commands=())
    run = RunFolder.create(folder, chosen, facts)
    return run, train_round(chosen, STEP, START, (), Pulling(), run)


@pytest.mark.parametrize("aggregation", sorted(rules()))
def test_every_word_of_a_study_makes_a_finite_model_of_the_same_kind(
    tmp_path: Path, aggregation: str
) -> None:
    _, result = one_round(tmp_path / "run", aggregation)

    assert np.isfinite(result.parameters["w"]).all()
    assert result.parameters["w"].dtype == np.float32


def test_a_site_far_away_moves_the_mean_and_not_the_median(tmp_path: Path) -> None:
    _, average = one_round(tmp_path / "mean", "fedavg")
    _, middle = one_round(tmp_path / "median", "median")

    assert average.parameters["w"].tolist() == pytest.approx([(4 + 5 - 44) / 3])
    assert middle.parameters["w"].tolist() == [4.0]


def test_what_three_hospitals_make_pointless_is_said(tmp_path: Path) -> None:
    _, trimmed = one_round(tmp_path / "trimmed", "trimmed-mean")
    _, krum = one_round(tmp_path / "krum", "krum")

    assert "dropped nothing" in trimmed.notes[0]
    assert "proven for 5 sites" in krum.notes[0]


def test_what_a_rule_keeps_is_there_after_a_restart(tmp_path: Path) -> None:
    run, first = one_round(tmp_path / "run", "fedavgm", count=2)
    kept = run.keep_model(first.memory)
    run.save(first.parameters, Progress(aggregation_memory=kept))

    again = RunFolder.open(run.path)
    second = train_round(run.study, STEP, first.parameters, (), Pulling(), again)

    # change to 4.5 is -3.5; then the sites go to 2.25 and 3.25, a change of -1.75, and 0.9 of -3.5
    assert first.parameters["w"].tolist() == [4.5]
    assert second.parameters["w"].tolist() == pytest.approx([4.5 - 1.75 - 0.9 * 3.5])


def test_a_rule_that_keeps_nothing_leaves_no_file(tmp_path: Path) -> None:
    run, result = one_round(tmp_path / "run", "fedavg")

    assert result.memory == {}
    assert run.aggregation_memory() == {}


def test_a_study_takes_a_rule_as_soon_as_its_file_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregation, "__path__", [*aggregation.__path__, str(tmp_path)])
    lines = [
        "from crisp_core.numerics.aggregation.rule import Named, Outcome",
        "RULES = {'the-first-site': Named(lambda one, memory: Outcome(dict(one.updates[0])))}",
    ]
    (tmp_path / "toy_rule.py").write_text("\n".join(lines))

    _, result = one_round(tmp_path / "run", "the-first-site")

    np.testing.assert_array_equal(result.parameters["w"], [4.0])  # east: (8 + 0) / 2
