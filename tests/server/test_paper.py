from __future__ import annotations

import json
import tomllib
from itertools import product
from pathlib import Path

import pytest
from layout_samples import mnms
from synthetic import write_site
from typer.testing import CliRunner

from crisp_core.files.layouts.reading import read_places
from crisp_server.cli import app
from crisp_server.paper.published import OTHERS, PUBLISHED
from crisp_server.paper.table import Scores, as_markdown, lines_of
from crisp_server.settings import load_study

HOSPITALS = {"A": "1", "B": "2", "C": "4", "D": "5"}
MANY = {
    f"{vendor}{n}X{n}Y{n}": ("Training/Labeled", vendor, centre, 0, 3)
    for vendor, centre in HOSPITALS.items()
    for n in range(5)
} | {f"B{n}X{n}Z{n}": ("Testing", "B", "3", 2, 1) for n in range(5)}
TINY = ["--steps", 3, "--size", 16, "--batch-size", 2, "--architecture", "small"]


def crisp(*words: object):
    return CliRunner().invoke(app, ["paper", *(str(word) for word in words)])


def patients(study, name):
    site = study.sites[name]
    return {c.patient_id for c in read_places(site.places, name, study.classes).cases}


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Every study of Table 1 on twenty-five patients."""
    folder = tmp_path_factory.mktemp("paper")
    done = crisp(
        "mnms", "--data", mnms(folder / "OpenDataset", MANY, opened=False), "--out", folder / "out"
    )
    assert done.exit_code == 0, done.output
    assert "A 10 (paper: 192), B 20 (paper: 252)" in done.output
    return {path.stem: load_study(path) for path in (folder / "out").glob("*.toml")}


def test_the_values_are_the_papers(studies):
    full = studies["mnms-full"]

    assert (full.training.steps, full.training.batch_size) == (60_000, 10)
    assert (full.training.learning_rate, full.training.loss) == (1e-3, "dice")
    assert full.images.size == (256, 256)
    assert (full.model.architecture, full.model.encoder) == ("DeepLabV3Plus", "mobilenet_v2")
    crisp = full.crisp
    assert (crisp.perturbations, crisp.sigma, crisp.levels, crisp.squeeze_weight) == (
        10,
        0.35,
        5,
        0.5,
    )
    assert (crisp.hint, crisp.squeeze_norm, crisp.guard) == ("binary", "printed", "none")


def test_the_columns_differ_in_nothing_but_recursion_and_squeezing(studies):
    plain, recursive, full = (studies[f"mnms-{m}"] for m in ("baseline", "recursive", "full"))

    for part in ("training", "images", "model", "sites", "evaluation", "federation", "seed"):
        assert getattr(plain, part) == getattr(recursive, part) == getattr(full, part)
    assert (plain.recursions, recursive.recursions, full.recursions) == (1, 3, 3)
    assert (recursive.crisp.squeeze_weight, full.crisp.squeeze_weight) == (0.0, 0.5)


def test_the_source_is_vendor_a_and_a_fifth_of_it_is_kept_for_testing(studies):
    study = studies["mnms-full"]

    train, test = patients(study, "A"), patients(study, "A-test")
    assert study.sources == ("A",)
    assert (len(train), len(test), train & test) == (4, 1, set())
    assert {name[0] for name in train | test} == {"A"}
    assert len(patients(study, "B")) == 10


def test_five_folds_of_the_upper_bound_test_each_patient_once_and_never_train_on_it(studies):
    tested: list[str] = []
    for fold in range(1, 6):
        study = studies[f"mnms-upper-B-fold{fold}"]
        train, test = patients(study, "joint"), patients(study, "B")
        assert not train & test
        assert {name for name in MANY if name[0] in "AB"} == train | test
        tested += test

    assert sorted(tested) == sorted(name for name in MANY if name[0] == "B")


def test_each_of_five_hospitals_is_left_out_once(tmp_path):
    data = mnms(tmp_path / "OpenDataset", MANY, opened=False)
    words = ["mnms-loho", "--data", data, "--out", tmp_path / "out", "--methods", "full"]

    done = crisp(*words)

    assert done.exit_code == 0, done.output
    found = [load_study(path) for path in sorted((tmp_path / "out").glob("*.toml"))]
    assert [study.held_out for study in found] == [("A",), ("B2",), ("B3",), ("C",), ("D",)]
    for study in found:
        sets = [patients(study, name) for name in study.sites]
        assert sorted(p for one in sets for p in one) == sorted(MANY)


def test_a_folder_without_the_table_of_patients_is_refused(tmp_path):
    done = crisp("mnms", "--data", tmp_path)

    assert done.exit_code == 2
    assert "Expected the table of M&Ms, got none" in done.output


def test_an_unknown_column_is_told_the_known_ones(tmp_path):
    done = crisp("mnms", "--data", mnms(tmp_path, opened=False), "--methods", "ful")

    assert done.exit_code == 2
    assert "baseline, recursive, full, upper" in done.output


def cells(method, dice, hd95, scenario="mnms", targets="BCD", structures=("LV", "MYO", "RV")):
    names = tuple(f"p{n}" for n in range(8))
    return {
        (scenario, method, target, structure): Scores((dice,) * 8, (hd95,) * 8, names)
        for target, structure in product(targets, structures)
    }


def test_ours_and_the_published_mean_stand_in_one_row():
    lines = lines_of({**cells("baseline", 70.0, 5.0), **cells("full", 75.0, 4.0)})

    [mean] = [one for one in lines if one.target == "mean" and one.method == "full"]
    assert (mean.dice, mean.hd95, mean.volumes) == (75.0, 4.0, 72)
    assert (mean.published_dice, mean.published_hd95) == (85.59, 1.86)
    assert "| mean | mean | full | 72 | 75.00 | 85.59 | 4.00 | 1.86 |  |" in as_markdown(lines)


def test_a_cell_that_was_not_read_stays_empty():
    lines = lines_of(cells("recursive", 70.0, 5.0))

    assert all(one.published_dice is None and one.published_hd95 is None for one in lines)
    assert {one.structure for one in PUBLISHED if one.method == "recursive"} == set()


def test_nine_comparisons_are_corrected_for_being_nine():
    lines = lines_of({**cells("baseline", 70.0, 5.0), **cells("full", 75.0, 4.0)})

    found = [one.p_against_baseline for one in lines if one.p_against_baseline is not None]

    assert found == [pytest.approx(9 * 2 / 2**8)] * 9  # eight patients, all better: 2 / 2^8


def test_the_source_kept_for_testing_is_no_part_of_the_mean():
    lines = lines_of({**cells("full", 75.0, 4.0), **cells("full", 99.0, 1.0, targets=("A-test",))})

    [mean] = [one for one in lines if one.target == "mean"]
    assert mean.dice == 75.0


def test_the_page_states_where_the_paper_disagrees_with_itself():
    text = as_markdown(lines_of(cells("full", 75.0, 4.0)))

    assert "2.85" in text
    assert "4.33" in text
    assert "192, 252, 150 and 100" in text
    assert all(one.method in text for one in OTHERS if one.scenario == "mnms")


@pytest.mark.long
def test_table_one_is_run_and_printed_at_a_tiny_size(tmp_path):
    data = mnms(tmp_path / "OpenDataset", MANY)
    words = ["mnms", "--data", data, "--out", tmp_path / "out", "--methods", "baseline,full,upper"]

    done = crisp(*words, *TINY, "--run", "--quiet", "--threads", 1)
    again = crisp(*words, *TINY, "--run", "--quiet", "--threads", 1)  # nothing is left to do

    assert done.exit_code == again.exit_code == 0, done.output + again.output
    lines = json.loads(crisp("table", tmp_path / "out", "--json").stdout)
    volumes = {(one["method"], one["target"]): one["volumes"] for one in lines}
    assert volumes["full", "B"] == volumes["upper", "B"] == 20
    assert volumes["baseline", "A-test"] == 2
    assert "| B | LV | full | 20 |" in crisp("table", tmp_path / "out").stdout


@pytest.mark.long
def test_the_shift_of_ct_is_run_on_folders_in_house_format(tmp_path):
    for number, name in enumerate(("normal", "covid", "contrast", "non-contrast")):
        cases = {f"{name}-{n}": f"{name}-p{n}" for n in range(5)}
        write_site(tmp_path / "ct" / name, cases, class_count=1, seed=number)
    words = ["ct", "--data", tmp_path / "ct", "--out", tmp_path / "out", "--methods", "full"]

    done = crisp(*words, *TINY, "--run", "--quiet", "--threads", 1)

    assert done.exit_code == 0, done.output
    text = crisp("table", tmp_path / "out").stdout
    assert "| covid | vessel | full | 5 |" in text
    assert "| 70.61 |" in text
    assert "| 59.46 |" in text


def test_the_shifts_of_ct_have_the_papers_size(tmp_path):
    write_site(tmp_path / "ct" / "normal", 1)

    done = crisp("ct", "--data", tmp_path / "ct", "--out", tmp_path / "out", "--methods", "full")

    assert done.exit_code == 0, done.output
    study = tomllib.loads(Path(tmp_path / "out" / "ct-covid-full.toml").read_text())
    assert study["images"]["size"] == [512, 512]
    assert study["training"]["batch_size"] == 35
