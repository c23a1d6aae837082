from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from federation_on_disk import tiny_options, tiny_study

from crisp_client.own_page import write_own_page
from crisp_client.settings import load_settings
from crisp_core.errors import RunStateError, SiteFailedError, StudyError, UsageError
from crisp_core.files.checkpoint import read_parameters
from crisp_core.report.analysis.flags import flags
from crisp_core.schema.manifest import Progress
from crisp_core.schema.summary import RunSummary
from crisp_core.trust.ledger import verify
from crisp_server.compare import Contest, compare, variants
from crisp_server.conduct import conduct
from crisp_server.flower import GridSites
from crisp_server.simulate import carry_on, parts_of, start, words_of_sites
from crisp_server.simulation.inline import InProcessGrid
from crisp_server.store import RunFolder
from crisp_server.summary import summarise

ONE = Contest(("fedavg",), (1,))


def run_of(folder: Path, **sections) -> tuple[RunFolder, RunSummary]:
    run = start(tiny_study(folder, **sections), folder / "run", tiny_options())
    return run, carry_on(run, lambda _: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, RunSummary]:
    return run_of(tmp_path_factory.mktemp("federation"))


def test_a_federation_trains_validates_and_measures_the_held_out_site(finished) -> None:
    _, summary = finished

    assert [r.generation for r in summary.rounds] == [1, 1, 2, 2]
    assert sum(r.trained["east"].steps for r in summary.rounds) == 12
    assert [sorted(g.validation) for g in summary.generations] == [["east", "north"]] * 2
    assert sorted(summary.final) == ["east", "north", "south"]
    assert len(summary.final["south"].cases) == 3
    assert {len(case.recursions) for case in summary.final["south"].cases} == {
        summary.selected_generation
    }


def test_hints_stay_at_the_site_and_only_their_figures_leave(finished) -> None:
    run, summary = finished

    stored = list((run.path / "sites" / "east" / "hints").rglob("*"))
    assert any(path.is_file() for path in stored)
    assert summary.generations[1].hints["east"].case_count == 2
    assert 0 <= summary.generations[1].hints["east"].uncertain <= 1


def test_no_case_or_patient_name_is_in_what_the_coordinator_holds(finished) -> None:
    run, _ = finished

    for name in ("state.json", "events.jsonl", "ledger.jsonl", "report.json"):
        text = (run.path / name).read_text()
        assert "east-0" not in text
        assert "south-1" not in text


def test_a_site_writes_its_own_page_with_pictures_of_what_it_was_measured_on(
    finished, tmp_path: Path
) -> None:
    run, summary = finished
    (held_out,) = summary.study.held_out
    settings = load_settings(run.path / "sites" / held_out / "site.toml")

    html = write_own_page(settings, tmp_path / "page", names=True).read_text()

    assert summary.model_hash in html
    assert "No risk rule" not in html  # it came with the plan of the final measurement
    panels = json.loads((run.path / "sites" / held_out / "panels.json").read_text())
    assert html.count("<img") == sum(len(panel["views"]) for panel in panels) > 0
    assert summary.final[held_out].cases[0].case not in html
    assert "<img" not in (run.path / "report.html").read_text()


def test_the_report_and_the_model_are_there_and_agree(finished) -> None:
    run, summary = finished

    assert (run.path / "report.html").stat().st_size > 10_000
    _, metadata = read_parameters(run.path / "model.safetensors")
    assert metadata["study"] == summary.study_hash == run.study.hash()


def test_every_measured_case_has_its_evidence_and_the_run_a_rule_that_judges_it(finished) -> None:
    _, summary = finished

    validation = summary.generations[summary.selected_generation - 1].validation
    assert summary.risk is not None
    assert summary.risk.case_count == sum(len(one.cases) for one in validation.values())
    for one in flags(summary, list(summary.final)):
        assert len(one.flags) == len(one.group.cases) > 0
    for measured in summary.final.values():
        assert measured.reliability is not None
        assert sum(measured.reliability.top_label.counts) > 0


def test_the_same_study_gives_the_same_bytes(finished, tmp_path: Path) -> None:
    run, summary = finished

    again, repeated = run_of(tmp_path)

    assert repeated.model_hash == summary.model_hash
    one, other = ((r.path / "model.safetensors").read_bytes() for r in (run, again))
    assert one == other


def test_the_ledger_names_who_took_part_in_every_round(finished) -> None:
    run, _ = finished

    admitted = [e.fields for e in run.ledger.entries() if e.event == "admitted"]
    assert [(fields["round"], fields["site"]) for fields in admitted] == [
        (r, site) for r in (1, 2, 3, 4) for site in ("east", "north")
    ]
    assert verify(run.ledger.path) is None


@pytest.mark.parametrize("method", ["fedavg", "fedavg-2.5d", "crisp-paper", "crisp-no-squeeze"])
def test_every_method_word_runs_at_equal_steps(tmp_path: Path, method: str) -> None:
    _, summary = run_of(tmp_path, method=method)

    assert sum(r.trained["north"].steps for r in summary.rounds) == 12


def test_local_is_one_federation_a_source_and_pooled_one_virtual_site(tmp_path: Path) -> None:
    local = parts_of(tiny_study(tmp_path, method="local"))
    pooled = parts_of(tiny_study(tmp_path, method="pooled"))

    assert {name: part.sources for name, part in local.items()} == {
        "east": ("east",),
        "north": ("north",),
    }
    assert pooled[""].sources == ("pooled",)
    run = start(pooled[""], tmp_path / "run", tiny_options())
    assert carry_on(run, lambda _: None).sites["pooled"].patients == 6


def test_a_comparison_puts_every_run_into_one_table(tmp_path: Path) -> None:
    study = tiny_study(tmp_path, training={"steps": 4}, federation={"rounds": 1})
    folder = tmp_path / "comparison"

    rows = compare(study, Contest(("fedavg", "local"), (1,)), folder, tiny_options())

    assert [name for name, _, _ in rows] == ["fedavg", "local (east)", "local (north)"]
    assert "| fedavg |" in (folder / "comparison.md").read_text()
    losses = {summary.study.training.loss for _, _, summary in rows}
    assert losses == {study.training.loss}  # fedavg is measured with the study's own loss


def test_a_run_folder_is_never_written_over(tmp_path: Path) -> None:
    study = tiny_study(tmp_path)
    start(study, tmp_path / "run", tiny_options())

    with pytest.raises(RunStateError, match="crisp resume"):
        start(study, tmp_path / "run", tiny_options())


def test_an_empty_data_folder_is_named_at_the_site_and_not_on_the_wire(tmp_path: Path) -> None:
    study = tiny_study(tmp_path)
    for path in (tmp_path / "data" / "north" / "images").iterdir():
        path.unlink()
    for path in (tmp_path / "data" / "north" / "labels").iterdir():
        path.unlink()
    run = start(study, tmp_path / "run", tiny_options())

    with pytest.raises(SiteFailedError, match="data: ") as caught:
        carry_on(run, lambda _: None)

    assert str(tmp_path) not in str(caught.value)
    assert "north" in words_of_sites(run)[0]
    assert caught.value.exit_code == 3


def test_stale_hints_are_made_again_and_the_result_is_the_same(finished, tmp_path: Path) -> None:
    _, summary = finished
    study = tiny_study(tmp_path)
    other = start(study, tmp_path / "run", tiny_options())

    with pytest.raises(InterruptedError):
        _until(other, lambda progress: bool(progress.hints))
    for path in (other.path / "sites" / "east" / "hints").rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    repeated = carry_on(other, lambda _: None)

    assert repeated.model_hash == summary.model_hash
    assert not any(r.missing for r in repeated.rounds)


def _until(run: RunFolder, reached: Callable[[Progress], bool]) -> None:
    """Conduct the run until a state that was wanted is saved, then stop."""

    class Stopping(RunFolder):
        def save(self, parameters, progress):
            super().save(parameters, progress)
            if reached(progress):
                raise InterruptedError

    stopping = Stopping(run.path)
    conduct(stopping, GridSites(InProcessGrid(3, run.path), run))


def test_a_site_that_gives_numbers_that_are_not_finite_does_not_count(tmp_path: Path) -> None:
    study = tiny_study(
        tmp_path,
        training={"learning_rate": 1e30},
        evaluation={"select": "last"},
    )
    run = start(study, tmp_path / "run", tiny_options())

    with pytest.raises(Exception, match="diverged"):
        carry_on(run, lambda _: None)

    saved = run.load()
    assert saved is not None
    assert all(np.isfinite(array).all() for array in saved[0].values())


def test_the_clock_of_a_run_counts_every_step_once(finished) -> None:
    _, summary = finished

    assert 0 < summary.site_seconds <= summary.seconds


def test_hints_lost_before_the_next_generation_are_made_again(tmp_path: Path) -> None:
    study = tiny_study(
        tmp_path, crisp={"generations": 3, "phase_shares": (1, 1, 1)}, federation={"rounds": 1}
    )
    whole = carry_on(start(study, tmp_path / "whole", tiny_options()), lambda _: None)
    run = start(study, tmp_path / "run", tiny_options())

    with pytest.raises(InterruptedError):
        _until(run, lambda progress: len(progress.validations) == 2)
    for path in (run.path / "sites" / "east" / "hints").rglob("*.safetensors"):
        path.unlink()
    repeated = carry_on(run, lambda _: None)

    assert repeated.model_hash == whole.model_hash


def test_a_kill_between_starting_and_the_first_step_leaves_a_run_that_can_be_started(
    tmp_path: Path,
) -> None:
    study, run = tiny_study(tmp_path), tmp_path / "run"
    start(study, run, tiny_options())
    (run / "study.json").unlink()  # written last
    (run / "sites" / "south" / "site.toml").unlink()
    (run / ".0123456789abcdef.crisp-tmp").write_bytes(b"half")

    again = start(study, run, tiny_options())

    assert again.study == study
    assert (run / "sites" / "south" / "site.toml").is_file()
    assert not list(run.rglob("*.crisp-tmp"))


def test_what_a_kill_left_half_written_is_gone_after_the_run(tmp_path: Path) -> None:
    study = tiny_study(tmp_path, training={"steps": 4}, federation={"rounds": 1})
    run = start(study, tmp_path / "run", tiny_options())
    for place in (run.path, run.path / "sites" / "east" / "hints", run.path / "models"):
        place.mkdir(exist_ok=True)
        (place / ".0123456789abcdef.crisp-tmp").write_bytes(b"half")

    carry_on(run, lambda _: None)

    assert not list(run.path.rglob("*.crisp-tmp"))


def test_reading_a_run_that_goes_on_elsewhere_leaves_its_ledger_alone(finished) -> None:
    run, _ = finished
    length = len(run.ledger)
    run.ledger.append("admitted", site="east")  # as the other process does before it saves

    summarise(run)

    assert len(run.ledger) == length + 1
    run.ledger.truncate_to(length)


def test_a_comparison_takes_each_method_and_seed_once(tmp_path: Path) -> None:
    study = tiny_study(tmp_path)

    rows = list(variants(study, ["fedavg", " fedavg"], [1, 1]))

    assert [(name, seed) for name, seed, _ in rows] == [("fedavg", 1)]


def test_a_patient_has_one_pseudonym_whatever_the_seed_and_the_method(tmp_path: Path) -> None:
    keys = set()
    for name, seed, variant in variants(tiny_study(tmp_path), ["fedavg", "crisp"], [1, 2]):
        start(variant, tmp_path / f"{name}-{seed}", tiny_options())
        settings = tmp_path / f"{name}-{seed}" / "sites" / "north" / "site.toml"
        keys.add(load_settings(settings).pseudonym_key)

    assert len(keys) == 1


def test_a_comparison_with_one_perturbation_is_possible(tmp_path: Path) -> None:
    study = tiny_study(tmp_path, crisp={"perturbations": 1})

    studies = {name: variant for name, _, variant in variants(study, ["crisp", "crisp-paper"], [1])}

    assert {one.crisp.perturbations_in_loss for one in studies.values()} == {1}


def test_a_comparison_is_not_continued_with_other_data(tmp_path: Path) -> None:
    study = tiny_study(tmp_path, training={"steps": 4}, federation={"rounds": 1})
    compare(study, ONE, tmp_path / "comparison", tiny_options())
    (tmp_path / "data" / "east").rename(tmp_path / "data" / "west")
    east = study.sites["east"].model_copy(update={"data": (str(tmp_path / "data" / "west"),)})
    moved = study.model_copy(update={"sites": {**study.sites, "east": east}})

    with pytest.raises(UsageError, match="another study"):
        compare(moved, ONE, tmp_path / "comparison", tiny_options())


def test_a_finished_run_asks_nobody(finished) -> None:
    run, _ = finished
    before = run.load()[1]

    conduct(run, GridSites(None, run))  # any question would fail

    assert run.load()[1] == before


def test_a_held_out_site_cannot_take_the_name_of_the_pooled_one(tmp_path: Path) -> None:
    study = tiny_study(tmp_path, method="pooled")
    sites = {"east": study.sites["east"], "pooled": study.sites["south"]}

    with pytest.raises(StudyError, match="'pooled'"):
        parts_of(study.model_copy(update={"sites": sites}))
