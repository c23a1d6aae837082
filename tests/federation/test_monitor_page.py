"""The pages on monitoring and export, typed from top to bottom."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from export_samples import trained_run
from prediction_samples import MODEL, ordinary_lines
from report_samples import run_summary
from synthetic import AFFINE, blob, write_volume

from crisp_client.monitoring.metrics import LogCollector, Watched
from crisp_core.files.released import released_of, write_released
from crisp_core.schema.drift import DriftReference, SourceMedian

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "how-to"
TRAINING = DriftReference(cases=0, medians={"spacing:z": (SourceMedian(cases=40, value=8.0),)})


def block_of(page: str) -> str:
    [block] = re.findall(r"```sh\n(.*?)```", (PAGES / page).read_text(), flags=re.DOTALL)
    return block


def typed(block: str, folder: Path) -> subprocess.CompletedProcess[str]:
    here = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", block], cwd=folder, env=here, capture_output=True, text=True, check=False
    )


def write_place(folder: Path, thick: int) -> None:
    """A model, and a log whose newest 40 predictions hold `thick` with thicker slices."""
    card = released_of(run_summary()).model_copy(update={"model_hash": MODEL})
    write_released(folder / "models" / "cardiac", card.model_copy(update={"reference": TRAINING}))
    newest = [
        line.model_copy(
            update={
                "time": line.time + timedelta(days=30),
                "spacing_mm": (10.0 if number < thick else 8.0, 1.5, 1.5),
            }
        )
        for number, line in enumerate(ordinary_lines(40, seed=3))
    ]
    log = folder / "crisp-site" / "predictions"
    log.mkdir(parents=True)
    lines = [*ordinary_lines(80, seed=2), *newest]
    (log / "predictions.jsonl").write_text("".join(line.text() + "\n" for line in lines))


@pytest.mark.long
def test_the_monitoring_page_can_be_typed_as_it_stands(tmp_path: Path) -> None:
    write_place(tmp_path, thick=0)

    done = typed(f"set -e\n{block_of('monitor.md')}", tmp_path)

    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "drift.json").read_text())["cases"] == 120
    assert done.stderr.count("nothing has moved beyond chance") == 2


@pytest.mark.long
def test_what_the_page_shows_of_a_shift_is_what_the_command_says(tmp_path: Path) -> None:
    write_place(tmp_path, thick=30)

    done = typed(block_of("monitor.md").splitlines()[0], tmp_path)

    shown = re.findall(r"^    (MOVED .*)$", (PAGES / "monitor.md").read_text(), flags=re.MULTILINE)
    assert done.returncode == 3
    assert done.stdout.splitlines()[0] == shown[0]


@pytest.mark.long
def test_the_export_page_can_be_typed_as_it_stands(tmp_path: Path) -> None:
    run = trained_run(tmp_path / "trained")
    (tmp_path / "runs").mkdir()
    shutil.move(run, tmp_path / "runs" / "first")
    write_volume(tmp_path / "new.nii.gz", blob((30, 26, 5), 2, seed=77)[0], AFFINE)

    done = typed(f"set -e\n{block_of('export.md')}", tmp_path)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "answers" / "new" / "labels.nii.gz").is_file()
    assert "100.00% of labels equal" in done.stderr


def test_the_reference_names_every_metric_and_every_alert(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "reference" / "monitoring.md").read_text()
    write_place(tmp_path, thick=0)
    log = tmp_path / "crisp-site" / "predictions"

    names = {metric.name for metric in LogCollector(Watched(log, MODEL, TRAINING)).collect()}

    assert [name for name in names if f"`{name}" not in page] == []
    rules = (ROOT / "deploy" / "prometheus" / "crisp.rules.yaml").read_text()
    alerts = re.findall(r"alert: (\w+)", rules)
    assert len(alerts) == 7
    assert [name for name in alerts if f"`{name}`" not in page] == []
