from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest
import torch
from federation_on_disk import tiny_study
from site_samples import east
from typer.testing import CliRunner, Result

from crisp_client.cases import open_cases
from crisp_client.cli import app
from crisp_client.device import Workbench
from crisp_client.evaluation import evaluate_cases
from crisp_client.settings import explained
from crisp_client.stress.measure import answer, corrupted, stress
from crisp_client.stress.record import begin
from crisp_client.stress.subject import Subject, Trials, load_subject, some_of, trials_in
from crisp_core.errors import RunStateError
from crisp_core.files.checkpoint import content_hash, write_parameters
from crisp_core.files.examine import open_case
from crisp_core.files.released import write_released
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.parameters import to_arrays
from crisp_core.schema.messages import EvaluatePlan
from crisp_core.schema.released import ReleasedModel
from crisp_core.schema.stress import StressPlan
from crisp_core.schema.study import Study

CPU = Workbench(torch.device("cpu"))


def model(folder: Path, study: Study) -> Path:
    """Release an untrained network: it answers at random, but always the same."""
    parameters = to_arrays(segmenter_of(study))
    write_parameters(folder / "model.safetensors", parameters, {})
    released = ReleasedModel(
        study=Study.model_validate_json(study.canonical()),
        study_hash=study.hash(),
        model_hash=content_hash(parameters),
        generation=study.recursions,
        recursions=study.recursions,
        versions={},
        created=datetime.now(tz=UTC).isoformat(),
    )
    write_released(folder, released)
    return folder


def opened(folder: Path, method: str = "crisp") -> tuple[Subject, Trials]:
    study = tiny_study(folder, method=method)
    return load_subject(model(folder / method, study), CPU), trials_in(folder / "data" / "south", 2)


def plan(subject: Subject, trials: Trials, *corruptions: str) -> StressPlan:
    return StressPlan(
        models=(subject.marks,),
        classes=subject.study.classes,
        data=trials.data,
        split="all",
        cases=tuple(one.name for one in trials.cases),
        corruptions=corruptions,
        severities=(1, 5),
        seed=4,
    )


def crisp_client(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["stress", *map(str, words)])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fedavg", "crisp"])
def test_the_clean_answer_is_the_one_that_the_site_itself_measures(
    tmp_path: Path, method: str
) -> None:
    subject, trials = opened(tmp_path, method)
    settings, _ = east(tmp_path)
    south = settings.model_copy(
        update={"site": "south", "data": (str(tmp_path / "data" / "south"),)}
    )
    site = open_cases(south, tiny_study(tmp_path, method=method))
    asked = EvaluatePlan(purpose="final", generation=1, recursions=subject.marks.recursions)

    clean = list(stress([subject], trials.cases, plan(subject, trials), CPU))

    measured = evaluate_cases(site, subject.segmenter, asked, CPU).cases
    for one, case in zip(clean, measured, strict=True):
        for name, figures in case.answer.structures.items():
            assert one.structures[name].dice == figures.dice
            assert one.structures[name].hd95_mm == figures.hd95_mm


def test_the_same_seed_gives_the_same_answers_and_each_case_its_own_artefact(
    tmp_path: Path,
) -> None:
    subject, trials = opened(tmp_path, "fedavg")
    tried = plan(subject, trials, "rician")

    first, second = (list(stress([subject], trials.cases, tried, CPU)) for _ in range(2))

    assert first == second
    assert len(first) == tried.answer_count == 3 * 3
    volume, _ = open_case(trials.cases[0].case)
    noise = [corrupted(volume, trial, "rician", 3, seed=4).array for trial in trials.cases[:2]]
    assert (noise[0] != noise[1]).any()


def test_lost_slices_still_count(tmp_path: Path) -> None:
    subject, trials = opened(tmp_path, "fedavg")
    volume, reference = open_case(trials.cases[0].case)

    short = corrupted(volume, trials.cases[0], "short-field", 5, seed=4)
    labels = answer(subject, short, trials.cases[0], ("short-field", 5), CPU)

    assert labels.shape == reference.array.shape
    assert short.grid == volume.grid


def test_what_was_measured_before_a_stop_is_not_measured_again(tmp_path: Path) -> None:
    subject, trials = opened(tmp_path, "fedavg")
    tried, folder = plan(subject, trials, "blur"), tmp_path / "out"
    begin(folder, tried)
    whole = list(stress([subject], trials.cases, tried, CPU))
    lines = "".join(f"{one.model_dump_json()}\n" for one in islice(whole, 4))
    (folder / "answers.jsonl").write_text(f'{lines}{{"model": "cut o')

    known = begin(folder, tried)
    rest = list(stress([subject], trials.cases, tried, CPU, {one.key for one in known}))

    assert [*known, *rest] == whole
    assert (folder / "answers.jsonl").read_text() == lines


def test_a_folder_holds_one_test(tmp_path: Path) -> None:
    subject, trials = opened(tmp_path, "fedavg")
    begin(tmp_path / "out", plan(subject, trials, "blur"))

    with pytest.raises(RunStateError, match="--out"):
        begin(tmp_path / "out", plan(subject, trials, "motion"))


def test_patients_are_chosen_whole_and_one_more_changes_no_other(tmp_path: Path) -> None:
    _, trials = opened(tmp_path, "fedavg")

    chosen = [{one.name for one in some_of(trials, count, seed=1).cases} for count in (1, 2, 3)]

    assert [len(names) for names in chosen] == [1, 2, 3]
    assert chosen[0] < chosen[1] < chosen[2]
    assert some_of(trials, None, seed=1) == trials


def test_the_command_writes_the_page_and_prints_its_tables(tmp_path: Path) -> None:
    opened(tmp_path, "fedavg")
    opened(tmp_path, "crisp")

    done = crisp_client(
        tmp_path / "crisp",
        tmp_path / "data" / "south",
        *("--baseline", tmp_path / "fedavg", "--corruptions", "blur,motion", "--threads", 1),
        *("--severities", "3", "--patients", 1, "--out", tmp_path / "out", "--json"),
    )

    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [model["name"] for model in told["plan"]["models"]] == ["crisp", "fedavg"]
    assert told["tables"][0]["rows"][0]["corruption"] == "blur"
    assert (tmp_path / "out" / "stress.html").is_file()


def test_a_site_tries_its_validation_patients_under_pseudonyms(tmp_path: Path) -> None:
    settings, study = east(tmp_path, method="fedavg")
    home = tmp_path / "home"
    home.mkdir()
    (home / "site.toml").write_text(explained(settings))
    model(tmp_path / "model", study)

    done = crisp_client(
        tmp_path / "model",
        *("--home", home, "--corruptions", "blur", "--severities", "1", "--out", tmp_path / "out"),
    )

    assert done.exit_code == 0, done.output
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert (plan["data"], plan["split"]) == ("east", "validation")
    assert len(plan["cases"]) == 1  # 0.4 of three patients
    assert "east-" not in (tmp_path / "out" / "answers.jsonl").read_text()


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--corruptions", "earthquake", "corruptions among motion"),
        ("--severities", "6", "severities from 1 to 5"),
        ("--severities", ",", "severities from 1 to 5"),
    ],
)
def test_a_wrong_word_is_a_sentence(tmp_path: Path, option: str, value: str, sentence: str) -> None:
    opened(tmp_path, "fedavg")

    done = crisp_client(tmp_path / "fedavg", tmp_path / "data" / "south", option, value)

    assert done.exit_code == 2
    assert sentence in done.output


def test_a_baseline_of_other_structures_is_refused(tmp_path: Path) -> None:
    opened(tmp_path, "fedavg")
    other = tiny_study(tmp_path, classes=["ring", "core"], method="fedavg")
    model(tmp_path / "other", other)

    done = crisp_client(
        tmp_path / "fedavg", tmp_path / "data" / "south", "--baseline", tmp_path / "other"
    )

    assert done.exit_code == 2
    assert "two models of the same structures" in done.output
