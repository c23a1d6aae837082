from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prediction_samples import BEGINNING, MODEL, ordinary_lines, prediction
from report_samples import run_summary
from typer.testing import CliRunner

from crisp_client.cli import app
from crisp_client.monitoring import log
from crisp_client.monitoring.compare import compare
from crisp_client.monitoring.figures import reference_from
from crisp_client.monitoring.window import Window, drift
from crisp_core.errors import DataError, UsageError
from crisp_core.files.released import released_of, write_released
from crisp_core.schema.drift import DriftReference, SourceMedian
from crisp_core.schema.prediction import PredictionLine

TRAINING = DriftReference(
    cases=0,
    medians={
        "spacing:z": tuple(SourceMedian(cases=40, value=mm) for mm in (8.0, 8.0)),
        "intensity:1:median": tuple(SourceMedian(cases=40, value=v) for v in (90.0, 130.0)),
    },
)


def written(folder: Path, lines: list[PredictionLine]) -> Path:
    """Write a log at once; `append` syncs the disk for each line."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(line.text() + "\n" for line in lines)
    (folder / "predictions.jsonl").write_text(text)
    return folder


def thick_slices(count: int, thick: int, seed: int = 1) -> list[PredictionLine]:
    lines = ordinary_lines(count, seed=seed)
    spacings = [(10.0, 1.5, 1.5)] * thick + [(8.0, 1.5, 1.5)] * (count - thick)
    return [
        line.model_copy(update={"spacing_mm": spacing})
        for line, spacing in zip(lines, spacings, strict=True)
    ]


def moved(report: Any) -> list[str]:
    return [finding.feature for finding in report.alarms]


def test_thicker_slices_are_found_and_said_in_words() -> None:
    report = compare(thick_slices(40, thick=30), TRAINING, "model")

    [finding] = report.alarms
    assert finding.sentence == "spacing in z rose from 8 mm to 10 mm in 30 of 40 cases"
    assert (finding.before, finding.now, finding.moved) == (8.0, 10.0, 30)


def test_against_a_log_fewer_thick_slices_are_enough() -> None:
    lines = thick_slices(40, thick=8)

    assert moved(compare(lines, reference_from(ordinary_lines(80)), "log")) == ["spacing:z"]
    assert moved(compare(lines, TRAINING, "model")) == []


def test_a_window_like_the_reference_raises_no_alarm() -> None:
    reference = reference_from(ordinary_lines(80, seed=2))

    report = compare(ordinary_lines(40, seed=3), reference, "log")

    assert report.alarms == ()
    assert {finding.feature for finding in report.findings} == {
        "entropy",
        "volume:ring",
        "volume:inner",
        "spacing:z",
        "spacing:y",
        "spacing:x",
        "intensity:1:median",
        "intensity:1:high",
        "flagged",
    }


@pytest.mark.long
def test_windows_in_which_nothing_moved_alarm_as_rarely_as_alpha_says() -> None:
    """400 comparisons of nine figures at alpha 0.05; three standard errors of 20 alarms are 13."""
    alarms = 0
    for seed in range(400):
        lines = ordinary_lines(100, seed=100 + seed)
        alarms += bool(compare(lines[60:], reference_from(lines[:60]), "log", 0.05).alarms)

    assert 2 <= alarms <= 20 + 13


@pytest.mark.parametrize(
    ("feature", "changed"),
    [
        ("entropy", lambda line: {"entropy": line.entropy * float(np.exp(0.2))}),
        (
            "volume:ring",
            lambda line: {
                "volumes_ml": {**line.volumes_ml, "ring": line.volumes_ml["ring"] * 1.22}
            },
        ),
        (
            "intensity:1:median",
            lambda line: {
                "intensity": (
                    line.intensity[0].model_copy(update={"median": line.intensity[0].median + 8}),
                )
            },
        ),
    ],
)
def test_a_shift_of_one_deviation_is_found_and_nothing_else(feature: str, changed: Any) -> None:
    reference = reference_from(ordinary_lines(80, seed=4))
    lines = [line.model_copy(update=changed(line)) for line in ordinary_lines(60, seed=5)]

    report = compare(lines, reference, "log")

    assert moved(report) == [feature]
    assert " rose from " in report.alarms[0].sentence


def test_flags_that_become_common_are_found() -> None:
    reference = reference_from(ordinary_lines(80, seed=4))
    lines = [
        line.model_copy(update={"flag": "review" if number % 2 else "accept"})
        for number, line in enumerate(ordinary_lines(40, seed=5))
    ]

    report = compare(lines, reference, "log")

    [finding] = report.alarms
    before = reference.flagged.hits / 80
    assert finding.sentence == f"flagged cases: 20 of 40 (50%), {before:.0%} in the reference"


def test_the_control_chart_names_the_case_from_which_it_moved() -> None:
    reference = reference_from(ordinary_lines(80, seed=4))
    lines = ordinary_lines(40, seed=5)
    lines[20:] = [line.model_copy(update={"entropy": line.entropy * 2}) for line in lines[20:]]

    [finding] = compare(lines, reference, "log").alarms

    assert finding.chart is not None
    assert 20 <= finding.chart.first_outside <= 24


def test_a_small_window_says_that_it_is_too_small() -> None:
    report = compare(thick_slices(9, thick=9), TRAINING, "model")

    assert report.alarms == report.findings == ()
    assert report.notes == ("9 cases are too few to compare: at least 10 are needed",)


def test_a_coarse_comparison_says_what_it_would_miss() -> None:
    report = compare(ordinary_lines(12), reference_from(ordinary_lines(20, seed=6)), "log")

    assert "is likely to go unseen" in report.notes[0]


def test_the_same_log_gives_the_same_verdict() -> None:
    reference, lines = reference_from(ordinary_lines(30)), ordinary_lines(20, seed=1)

    assert compare(lines, reference, "log") == compare(lines, reference, "log")


def test_what_one_side_does_not_know_is_named() -> None:
    report = compare(ordinary_lines(12), TRAINING, "model")

    assert report.not_compared["entropy"] == "the reference does not know it"
    assert "flagged" in report.not_compared


def test_a_window_takes_the_newest_or_the_youngest_lines() -> None:
    lines = [prediction(number) for number in range(10)]

    assert Window(last=3).of(lines) == tuple(lines[-3:])
    assert Window(since=BEGINNING + timedelta(hours=8)).of(lines) == tuple(lines[8:])
    assert Window().of(lines) == tuple(lines)


def test_the_reference_of_a_log_ends_where_the_window_begins(tmp_path: Path) -> None:
    place = written(tmp_path, [*ordinary_lines(60), *thick_later(20)])

    report = drift(place, Window(last=20), reference=place)

    assert (report.reference, report.reference_cases, report.cases) == ("log", 60, 20)
    assert moved(report) == ["spacing:z"]


def thick_later(count: int) -> list[PredictionLine]:
    return [
        line.model_copy(
            update={"time": line.time + timedelta(days=30), "spacing_mm": (10.0, 1.5, 1.5)}
        )
        for line in ordinary_lines(count, seed=9)
    ]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    card = released_of(run_summary()).model_copy(update={"model_hash": MODEL})
    write_released(folder, card.model_copy(update={"reference": TRAINING}))
    return folder


def test_the_command_ends_with_3_when_something_moved(tmp_path: Path, model: Path) -> None:
    place = written(tmp_path / "log", thick_slices(40, thick=30))

    done = CliRunner().invoke(app, ["drift", str(model), "--log", str(place)])

    assert done.exit_code == 3
    assert done.stdout.splitlines()[0].startswith(
        "MOVED spacing in z rose from 8 mm to 10 mm in 30"
    )
    assert "MOVED: spacing in z" in done.stderr


def test_the_command_ends_with_0_when_nothing_did(tmp_path: Path, model: Path) -> None:
    place = written(tmp_path / "site" / "predictions", ordinary_lines(40))
    words = ["drift", str(model), "--home", str(tmp_path / "site"), "--json"]

    done = CliRunner().invoke(app, words)

    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["cases"], report["model_hash"]) == (40, MODEL)
    assert place.exists()


def test_a_model_that_predicted_nothing_here_is_named(tmp_path: Path, model: Path) -> None:
    other = ordinary_lines(20, model_hash="cd" * 32)
    place = written(tmp_path / "log", other)

    with pytest.raises(DataError, match=r"predictions of model abababababab, got only those of cd"):
        drift(place, Window(), model=model)


def test_only_what_the_model_predicted_counts(tmp_path: Path, model: Path) -> None:
    lines = [*ordinary_lines(20), *ordinary_lines(30, model_hash="cd" * 32)]

    assert drift(written(tmp_path / "log", lines), Window(), model=model).cases == 20


def test_an_empty_window_a_damaged_line_or_no_reference_is_one_sentence(
    tmp_path: Path, model: Path
) -> None:
    place = written(tmp_path / "log", ordinary_lines(20))

    with pytest.raises(DataError, match="none of the 20 in the log"):
        drift(place, Window(since=BEGINNING + timedelta(days=400)), model=model)
    with pytest.raises(DataError, match="from before the window"):
        drift(place, Window(), reference=place)
    with pytest.raises(UsageError, match="got neither"):
        drift(place, Window())
    (place / "predictions.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"predictions\.jsonl line 1"):
        drift(place, Window(), model=model)


def test_a_model_without_a_reference_asks_for_a_log(tmp_path: Path, model: Path) -> None:
    card = released_of(run_summary()).model_copy(update={"model_hash": MODEL, "reference": None})
    write_released(model, card)

    with pytest.raises(UsageError, match="--reference LOG, got a model without one"):
        drift(written(tmp_path / "log", ordinary_lines(20)), Window(), model=model)


def test_a_log_of_one_file_can_be_the_reference(tmp_path: Path) -> None:
    place = written(tmp_path / "log", thick_later(20))
    reference = written(tmp_path / "before", ordinary_lines(60)) / "predictions.jsonl"

    assert log.read(reference).lines
    assert moved(drift(place, Window(), reference=reference)) == ["spacing:z"]
