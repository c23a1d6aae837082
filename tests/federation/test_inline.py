from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from federation_on_disk import tiny_options, tiny_study

from crisp_core.errors import RunStateError, SiteFailedError
from crisp_core.files.checkpoint import read_parameters
from crisp_core.schema.summary import RunSummary
from crisp_core.trust.ledger import verify
from crisp_server.compare import compare
from crisp_server.simulate import carry_on, parts_of, start, words_of_sites
from crisp_server.store import RunFolder


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


def test_the_report_and_the_model_are_there_and_agree(finished) -> None:
    run, summary = finished

    assert (run.path / "report.html").stat().st_size > 10_000
    _, metadata = read_parameters(run.path / "model.safetensors")
    assert metadata["study"] == summary.study_hash == run.study.hash()


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

    rows = compare(study, ["fedavg", "local"], [1], folder, tiny_options())

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
        _until_hints(other)
    for path in (other.path / "sites" / "east" / "hints").rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    repeated = carry_on(other, lambda _: None)

    assert repeated.model_hash == summary.model_hash
    assert not any(r.missing for r in repeated.rounds)


def _until_hints(run: RunFolder) -> None:
    """Conduct the run until the first hints are saved, then stop."""
    from crisp_server.conduct import conduct
    from crisp_server.flower import GridSites
    from crisp_server.simulation.inline import InProcessGrid

    class Stopping(RunFolder):
        def save(self, parameters, progress):
            super().save(parameters, progress)
            if progress.hints:
                raise InterruptedError

    stopping = Stopping(run.path)
    conduct(stopping, GridSites(InProcessGrid(3, run.path), run.study))


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
