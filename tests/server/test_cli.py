from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from federation_on_disk import tiny_options, tiny_study
from typer.testing import CliRunner, Result

from crisp_client.cli import app as client_app
from crisp_core.errors import MissingExtraError
from crisp_server.cli import app
from crisp_server.simulate import start
from crisp_server.simulation.engine import run_flower_simulation


def crisp(*words: str | Path) -> Result:
    """Type a command; sites compute on one thread, so that other tests can run beside them."""
    threads = ["--threads", "1"] if words[0] in ("simulate", "compare") else []
    return CliRunner().invoke(app, [*(str(word) for word in words), *threads])


def study_file(folder: Path, addition: str = "") -> Path:
    """Write the tiny study's data and a TOML file for it."""
    tiny_study(folder)
    path = folder / "study.toml"
    path.write_text(
        """
name = "tiny"
classes = ["ring", "inner"]
[sites.east]
role = "source"
data = "data/east"
[sites.north]
role = "source"
data = "data/north"
[sites.south]
role = "held-out"
data = "data/south"
[images]
size = [16, 16]
[model]
width = 8
[training]
steps = 4
batch_size = 2
[crisp]
generations = 2
perturbations = 2
[federation]
rounds = 1
[evaluation]
validation_share = 0.4
"""
        + addition
    )
    return path


def test_simulate_tells_the_worst_site_and_writes_a_report(tmp_path: Path) -> None:
    result = crisp("simulate", study_file(tmp_path), "--run", tmp_path / "run", "--quiet")

    assert result.exit_code == 0, result.output
    assert "Worst held-out site: south" in result.output
    assert (tmp_path / "run" / "report.html").is_file()


def test_json_goes_to_stdout_alone(tmp_path: Path) -> None:
    result = crisp("simulate", study_file(tmp_path), "--run", tmp_path / "run", "--json")

    told = json.loads(result.stdout)
    assert told["worst_site"] == "south"
    assert sorted(told["mean_dice"]) == ["east", "north", "south"]


def test_resume_of_a_finished_run_and_report_give_the_same_answer(tmp_path: Path) -> None:
    run = tmp_path / "run"
    crisp("simulate", study_file(tmp_path), "--run", run, "--quiet")
    page = (run / "report.html").read_text()

    assert crisp("resume", run, "--quiet").exit_code == 0
    assert crisp("report", run).exit_code == 0
    assert len((run / "report.html").read_text()) == pytest.approx(len(page), rel=0.05)


@pytest.mark.parametrize(
    ("addition", "exit_code", "words"),
    [
        ("quorun = 1", 2, "Did you mean"),
        ("[federation.more]\nx = 1", 2, "Expected"),
    ],
)
def test_a_faulty_study_writes_nothing(
    tmp_path: Path, addition: str, exit_code: int, words: str
) -> None:
    text = study_file(tmp_path).read_text()
    path = tmp_path / "faulty.toml"
    path.write_text(text.replace("rounds = 1", f"rounds = 1\n{addition}"))

    result = crisp("simulate", path, "--run", tmp_path / "run")

    assert result.exit_code == exit_code
    assert words in result.output
    assert not (tmp_path / "run").exists()


def test_a_site_without_a_data_folder_is_a_usage_error(tmp_path: Path) -> None:
    path = study_file(tmp_path, '[sites.west]\nrole = "source"\n')

    result = crisp("simulate", path, "--run", tmp_path / "run")

    assert result.exit_code == 2
    assert "sites.west.data" in result.output
    assert not (tmp_path / "run").exists()


def test_a_held_out_site_cannot_have_the_data_of_a_source(tmp_path: Path) -> None:
    path = study_file(tmp_path)
    path.write_text(path.read_text().replace("data/south", "data/east"))

    result = crisp("simulate", path, "--run", tmp_path / "run")

    assert result.exit_code == 2
    assert "'east' and 'south'" in result.output


def test_an_interrupted_run_says_how_to_go_on_and_goes_on(tmp_path: Path) -> None:
    study, run = study_file(tmp_path), tmp_path / "run"
    words = [sys.executable, "-c", "from crisp_server.cli import main; main()"]
    study.write_text(study.read_text().replace("steps = 4", "steps = 100"))
    process = subprocess.Popen(
        [*words, "simulate", str(study), "--run", str(run), "--threads", "1"],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (run / "state.json").exists():
        time.sleep(0.05)

    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "crisp resume" in told
    assert crisp("resume", run, "--quiet").exit_code == 0


def test_an_empty_data_folder_ends_with_the_sites_own_sentence(tmp_path: Path) -> None:
    path = study_file(tmp_path)
    shutil.rmtree(tmp_path / "data" / "north" / "images")

    result = crisp("simulate", path, "--run", tmp_path / "run", "--quiet")

    assert result.exit_code == 3
    assert "north" in result.output
    assert "images" in result.output


def test_a_run_folder_in_use_is_not_written_over(tmp_path: Path) -> None:
    path = study_file(tmp_path)
    (tmp_path / "run" / "models").mkdir(parents=True)
    (tmp_path / "run" / "models" / "thesis.txt").write_text("precious")

    result = crisp("simulate", path, "--run", tmp_path / "run")

    assert result.exit_code == 3
    assert "crisp resume" in result.output
    assert (tmp_path / "run" / "models" / "thesis.txt").read_text() == "precious"
    assert not (tmp_path / "run" / "study.json").exists()


def test_a_comparison_that_is_run_again_repeats_nothing(tmp_path: Path) -> None:
    path, folder = study_file(tmp_path), tmp_path / "comparison"
    words = ("compare", path, "--methods", "fedavg,crisp", "--seeds", "1", "--run", folder)

    assert crisp(*words, "--quiet").exit_code == 0
    state = folder / "crisp-seed1" / "state.json"
    before = state.stat().st_mtime_ns
    assert crisp(*words, "--quiet").exit_code == 0

    assert state.stat().st_mtime_ns == before
    assert (folder / "comparison.html").is_file()


def test_an_unknown_method_word_names_the_known_ones(tmp_path: Path) -> None:
    result = crisp("compare", study_file(tmp_path), "--methods", "fedporx,crisp")

    assert result.exit_code == 2
    assert "crisp-no-squeeze" in result.output


def test_the_hospitals_check_says_what_is_wrong_and_exits_with_3(tmp_path: Path) -> None:
    tiny_study(tmp_path)
    site = tmp_path / "data" / "east"

    good = CliRunner().invoke(client_app, ["check", str(site), "--classes", "2"])
    (site / "labels" / "east-1.nii.gz").unlink()
    bad = CliRunner().invoke(client_app, ["check", str(site), "--classes", "2"])

    assert good.exit_code == 0, good.output
    assert bad.exit_code == 3
    assert "east-1" in bad.output


def test_local_trains_every_source_alone_and_is_resumed_by_one_command(tmp_path: Path) -> None:
    study, run = study_file(tmp_path), tmp_path / "run"
    study.write_text('method = "local"\n' + study.read_text())
    assert crisp("simulate", study, "--run", run, "--quiet").exit_code == 0
    for name in ("model.safetensors", "state.json"):
        (run / "north" / name).unlink()  # as after a kill before north's first step

    result = crisp("resume", run, "--quiet")

    assert result.exit_code == 0, result.output
    assert (run / "north" / "model.safetensors").is_file()
    assert crisp("report", run).exit_code == 0


@pytest.mark.parametrize("damage", ["", "{", '{"name": 1}'])
@pytest.mark.parametrize("name", ["study.json", "run.json"])
def test_a_damaged_run_folder_is_a_sentence(tmp_path: Path, name: str, damage: str) -> None:
    run = tmp_path / "run"
    start(tiny_study(tmp_path), run, tiny_options())
    (run / name).write_text(damage)

    result = crisp("resume", run, "--quiet")

    assert result.exit_code == 3
    assert name in result.output


@pytest.mark.parametrize("command", ["simulate", "resume", "report", "compare"])
def test_a_file_where_the_run_folder_should_be_is_a_sentence(tmp_path: Path, command: str) -> None:
    place = tmp_path / "place"
    place.write_text("precious")
    starts = command in ("simulate", "compare")
    words = (study_file(tmp_path), "--run", place) if starts else (place,)

    result = crisp(command, *words)

    assert result.exit_code == 3
    assert result.output.startswith("Expected")
    assert place.read_text() == "precious"


def test_a_device_that_is_not_there_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    study = study_file(tmp_path)

    for device in ("banana", *([] if torch.cuda.is_available() else ["cuda"])):
        result = crisp("simulate", study, "--run", tmp_path / "run", "--device", device)
        assert result.exit_code == 2

    assert not (tmp_path / "run").exists()


def test_an_unfinished_run_has_no_report(tmp_path: Path) -> None:
    start(tiny_study(tmp_path), tmp_path / "run", tiny_options())

    result = crisp("report", tmp_path / "run")

    assert result.exit_code == 3
    assert "crisp resume" in result.output


def test_seeds_that_are_not_numbers_are_a_usage_error(tmp_path: Path) -> None:
    study = study_file(tmp_path)

    for seeds in ("", "one", "1,,2", "²"):
        assert crisp("compare", study, "--seeds", seeds).exit_code == 2


def test_a_phantom_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("precious")
    words = ["phantom", "cardiac", str(tmp_path / "place"), "--patients", "1"]

    result = CliRunner().invoke(client_app, words)

    assert result.exit_code == 3
    assert result.output.startswith("Expected a folder that can be written")


def test_flowers_engine_without_ray_is_one_sentence_with_the_line_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crisp_server.simulation.engine.find_spec", lambda _: None)

    with pytest.raises(MissingExtraError, match=r'pip install "crisp-fl\[simulation\]"'):
        run_flower_simulation(tmp_path, 2, print)

    assert not list(tmp_path.iterdir())
