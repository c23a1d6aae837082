"""Both engines run the same apps: the models of a study are the same bytes on either."""

from __future__ import annotations

from pathlib import Path

import pytest
from federation_on_disk import tiny_options, tiny_study

from crisp_server.simulate import start
from crisp_server.simulation.engine import run_flower_simulation
from crisp_server.simulation.inline import run_inline

pytestmark = [pytest.mark.flower, pytest.mark.slow]


def models(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "models").iterdir()}


SHORT = {"generations": 1, "perturbations": 2, "phase_shares": [1]}
STUDIES = {
    "crisp": {},
    "scaffold+fedbn": {"federation": {"rounds": 2, "unseen_norm": "ensemble"}, "crisp": SHORT},
}


@pytest.mark.parametrize(
    "method", ["crisp", pytest.param("scaffold+fedbn", marks=pytest.mark.long)]
)
def test_a_study_ends_with_the_same_models_on_both_engines(tmp_path: Path, method: str) -> None:
    study, lines = tiny_study(tmp_path, method=method, **STUDIES[method]), list[str]()
    inline = start(study, tmp_path / "inline", tiny_options()).path
    flower = start(study, tmp_path / "flower", tiny_options(engine="flower")).path

    run_inline(inline, len(study.sites))
    result = run_flower_simulation(flower, len(study.sites), lines.append)

    assert result == 0, lines
    assert models(inline)
    assert models(inline) == models(flower)
