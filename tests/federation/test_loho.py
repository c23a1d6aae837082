from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from federation_on_disk import tiny_options, tiny_study

from crisp_core.errors import StudyError, UsageError
from crisp_core.schema.study import SiteEntry, Study
from crisp_server.compare import Contest, compare
from crisp_server.loho import folds, leave_one_site_out

SOURCES = ("east", "north", "south")
SPY = """
import json, os, sys
from pathlib import Path

held, folder = sys.argv[1], Path(sys.argv[2])
labels, busy, seen = str(folder / "data"), [], []

def last_question():
    path = folder / "run" / "events.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    asked = [json.loads(line) for line in lines if '"asked"' in line]
    return (asked[-1]["action"], held in asked[-1]["sites"]) if asked else ("nothing", False)

def hook(event, arguments):
    if event != "open" or busy or not isinstance(arguments[0], str):
        return
    path = arguments[0]
    if path.startswith(labels) and "/labels/" in path:
        busy.append(1)
        seen.append([Path(path).parents[1].name, *last_question()])
        busy.pop()

sys.addaudithook(hook)
from federation_on_disk import tiny_options
from crisp_core.schema.study import Study
from crisp_server.simulate import carry_on, start
study = Study.model_validate_json((folder / "fold.json").read_text())
carry_on(start(study, folder / "run", tiny_options()), lambda _: None)
print(json.dumps(seen))
"""


def three_sources(folder: Path) -> Study:
    study = tiny_study(folder, training={"steps": 4, "batch_size": 2})
    sites = {name: SiteEntry(role="source", data=site.data) for name, site in study.sites.items()}
    return study.model_copy(update={"sites": sites})


def openings(study: Study, held_out: str, folder: Path) -> list[tuple[str, str, bool]]:
    """Run a fold in a process of its own and list every mask that was opened.

    Each is a site, the last action asked and whether the held-out site was asked for it.
    """
    (folder / "fold.json").write_text(study.model_dump_json())
    script = textwrap.dedent(SPY)
    done = subprocess.run(
        [sys.executable, "-c", script, held_out, str(folder)],
        env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    shutil.rmtree(folder / "run")
    return [tuple(row) for row in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.slow
def test_masks_of_the_held_out_hospital_are_opened_only_in_the_final_measurement(
    tmp_path: Path,
) -> None:
    fold = folds(three_sources(tmp_path))["south"]

    sealed = openings(fold, "south", tmp_path)

    assert {row[1:] for row in sealed if row[0] == "south"} == {("evaluate", True)}
    assert ("describe", True) in {row[1:] for row in sealed if row[0] == "east"}


@pytest.mark.slow
@pytest.mark.long
def test_the_spy_sees_a_study_that_does_not_seal_its_masks(tmp_path: Path) -> None:
    fold = folds(three_sources(tmp_path))["south"]
    evaluation = fold.evaluation.model_copy(update={"sealed_labels": False})

    seen = openings(fold.model_copy(update={"evaluation": evaluation}), "south", tmp_path)

    assert ("describe", True) in {row[1:] for row in seen if row[0] == "south"}


def test_every_hospital_is_held_out_once_and_trains_in_every_other_fold(tmp_path: Path) -> None:
    made = folds(three_sources(tmp_path))

    assert {name: fold.held_out for name, fold in made.items()} == {s: (s,) for s in SOURCES}
    assert all(len(fold.sources) == 2 for fold in made.values())


def test_a_site_that_the_study_holds_out_never_trains(tmp_path: Path) -> None:
    made = folds(tiny_study(tmp_path))

    assert list(made) == ["east", "north"]
    assert all("south" in fold.held_out for fold in made.values())


def test_one_hospital_alone_cannot_be_left_out(tmp_path: Path) -> None:
    study = tiny_study(tmp_path)
    sites = {**study.sites, "north": SiteEntry(role="held-out", data=study.sites["north"].data)}

    with pytest.raises(StudyError, match="at least two sites"):
        folds(study.model_copy(update={"sites": sites}))


def test_local_models_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one a hospital"):
        leave_one_site_out(
            three_sources(tmp_path), Contest(("local",), (1,)), tmp_path, tiny_options()
        )


def test_a_baseline_that_does_not_run_is_refused_before_anything_runs(tmp_path: Path) -> None:
    contest = Contest(("fedavg", "crisp"), (1,), baseline="fedavgm")

    with pytest.raises(UsageError, match=r"fedavg, crisp, got 'fedavgm' \(--baseline\)"):
        leave_one_site_out(three_sources(tmp_path), contest, tmp_path / "l", tiny_options())
    with pytest.raises(UsageError, match="Did you mean 'fedavg'"):
        compare(three_sources(tmp_path), contest, tmp_path / "c", tiny_options())
    assert not any((tmp_path / name).exists() for name in "lc")


@pytest.mark.slow
def test_a_machine_that_does_a_part_runs_one_hospital_alone(tmp_path: Path) -> None:
    study, folder = three_sources(tmp_path / "study"), tmp_path / "loho"
    contest = Contest(("fedavg",), (1, 2), held_out="north")

    done = leave_one_site_out(study, contest, folder, tiny_options())

    assert [(fold.seed, fold.held_out) for fold in done] == [(1, "north"), (2, "north")]
    assert sorted(place.name for place in folder.glob("fedavg-seed*/*")) == ["north", "north"]


def test_a_hospital_that_takes_no_turn_is_refused_before_anything_runs(tmp_path: Path) -> None:
    study, contest = three_sources(tmp_path), Contest(("fedavg",), (1,), held_out="west")

    with pytest.raises(UsageError, match="east, north, south, got 'west'"):
        leave_one_site_out(study, contest, tmp_path / "loho", tiny_options())
    assert not (tmp_path / "loho").exists()


@pytest.mark.slow
def test_a_contest_has_a_fold_for_each_hospital_and_continues_where_it_stopped(
    tmp_path: Path,
) -> None:
    study, folder = three_sources(tmp_path), tmp_path / "loho"
    first = leave_one_site_out(study, Contest(("fedavg",), (1,)), folder, tiny_options())

    again = leave_one_site_out(study, Contest(("fedavg", "crisp"), (1,)), folder, tiny_options())

    assert [(f.method, f.held_out) for f in first] == [("fedavg", s) for s in SOURCES]
    assert [f for f in again if f.method == "fedavg"] == first
    assert len(again) == 6
    assert "Leave one hospital out" in (folder / "loho.md").read_text()


@pytest.mark.slow
def test_a_case_at_two_hospitals_stops_the_contest(tmp_path: Path) -> None:
    study = three_sources(tmp_path)
    east, north = (tmp_path / "data" / site for site in ("east", "north"))
    case = next(path.name for path in sorted((east / "images").iterdir()))
    for part in ("images", "labels"):
        shutil.copy(east / part / case, north / part / case)
    table = (north / "cases.csv").read_text() if (north / "cases.csv").exists() else ""
    if table:
        stem = case.removesuffix(".nii.gz")
        (north / "cases.csv").write_text(f"{table.rstrip()}\n{stem},guest\n")

    with pytest.raises(StudyError, match="without a common case"):
        leave_one_site_out(study, Contest(("fedavg",), (1,)), tmp_path / "loho", tiny_options())
