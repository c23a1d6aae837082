"""The how-to page, word for word: one patient a site, networks that learned nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crisp_core.files.checkpoint import content_hash, write_parameters
from crisp_core.files.phantom_cohort import KINDS, write_phantom
from crisp_core.files.released import write_released
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.parameters import to_arrays
from crisp_core.schema.released import ReleasedModel
from crisp_core.schema.study import Study

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "stress-test.md"


def release(folder: Path, seed: int) -> None:
    study = Study.model_validate(
        {
            "name": "page",
            "seed": seed,
            "classes": tuple(label.replace(" ", "-") for label in KINDS["cardiac"].labels),
            "sites": {"vendor-a": {"role": "source"}, "vendor-d": {"role": "held-out"}},
            "model": {"width": 4},
            "images": {"size": (24, 24)},
            "crisp": {"generations": 1, "phase_shares": (1.0,), "perturbations": 2},
        }
    )
    parameters = to_arrays(segmenter_of(study))
    write_parameters(folder / "model.safetensors", parameters, {})
    released = ReleasedModel(
        study=study,
        study_hash=study.hash(),
        model_hash=content_hash(parameters),
        generation=1,
        recursions=1,
        versions={},
        created="2026-01-01T00:00:00+00:00",
    )
    write_released(folder, released)


@pytest.mark.long
def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    write_phantom("cardiac", tmp_path / "data" / "phantom", seed=1, patients=1, size=48)
    for seed, name in enumerate(("first", "second")):
        release(tmp_path / "runs" / name, seed)
    here = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        done = subprocess.run(
            ["bash", "-e", "-c", block], cwd=tmp_path, env=here, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]

    for name in re.findall(r"^\| `([^`]+)`", PAGE.read_text(), flags=re.MULTILINE):
        assert (tmp_path / "stress" / name).exists()
    table = (tmp_path / "stress-pair" / "tables" / "stress-dice.csv").read_text()
    assert "relative" in table.splitlines()[0]
    assert len(table.splitlines()) == 1 + 2 + 1
