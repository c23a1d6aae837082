from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from federation_on_disk import tiny_options, tiny_study

from crisp_core.errors import QuorumError
from crisp_core.files.checkpoint import read_parameters
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.normalisation import local_arrays, norm_arrays
from crisp_core.model.parameters import to_arrays
from crisp_core.schema.manifest import Progress
from crisp_core.schema.study import Study
from crisp_core.schema.summary import RunSummary
from crisp_server.conduct import conduct
from crisp_server.flower import GridSites
from crisp_server.simulate import start
from crisp_server.simulation.inline import InProcessGrid, run_inline
from crisp_server.store import RunFolder
from crisp_server.summary import summarise

pytestmark = pytest.mark.slow


def bn_study(folder: Path, method: str = "fedbn", unseen: str = "mean", **sections) -> Study:
    """Two rounds of one generation."""
    federation = {"rounds": 2, "unseen_norm": unseen, **sections.pop("federation", {})}
    crisp = {"generations": 1, "perturbations": 2, "phase_shares": [1], **sections.pop("crisp", {})}
    training = {"steps": 4, "batch_size": 4, **sections.pop("training", {})}
    return tiny_study(
        folder, method=method, federation=federation, crisp=crisp, training=training, **sections
    )


def finished(folder: Path, study: Study, name: str = "run") -> tuple[RunFolder, RunSummary]:
    return ended(start(study, folder / name, tiny_options()))


def ended(run: RunFolder) -> tuple[RunFolder, RunSummary]:
    """Bring a run to its end, without its report."""
    run_inline(run.path, 3)
    return run, summarise(run)


def own_files(run: RunFolder, site: str) -> list[Path]:
    return sorted((run.path / "sites" / site / "own").rglob("*.safetensors"))


def stopped(run: RunFolder, reached: Callable[[Progress], bool]) -> None:
    """Conduct the run until a state that was wanted is saved, as if it was killed then."""

    class Stopping(RunFolder):
        def save(self, parameters, progress):
            super().save(parameters, progress)
            if reached(progress):
                raise InterruptedError

    with pytest.raises(InterruptedError):
        conduct(Stopping(run.path), GridSites(InProcessGrid(3, run.path), run))


@pytest.fixture(scope="module")
def mean(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, RunSummary]:
    folder = tmp_path_factory.mktemp("mean")
    return finished(folder, bn_study(folder))


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, RunSummary]:
    folder = tmp_path_factory.mktemp("ensemble")
    return finished(folder, bn_study(folder, unseen="ensemble"))


def test_each_source_keeps_a_normalisation_and_the_mean_serves_the_held_out_site(mean) -> None:
    run, summary = mean

    own = {site: read_parameters(own_files(run, site)[-1])[0] for site in run.study.sources}
    final = run.model(summary.model_hash)
    assert set(own["east"]) == norm_arrays(segmenter_of(run.study))
    for name, array in own["east"].items():
        assert not np.array_equal(array, own["north"][name]) or array.dtype.kind == "i"
        middle = (array.astype(np.float64) + own["north"][name]) / 2  # two cases each
        np.testing.assert_allclose(final[name], middle, rtol=1e-6, atol=1e-7)
    assert "FedBN" in summary.warnings[0]
    assert "mean of the sources" in summary.warnings[1]


def test_what_is_not_needed_elsewhere_never_reaches_the_coordinator(tmp_path: Path) -> None:
    study = bn_study(tmp_path, "silobn", "adapt")

    run, summary = finished(tmp_path, study)

    statistics = local_arrays(segmenter_of(study), "statistics")
    initial, final = to_arrays(segmenter_of(study)), run.model(summary.model_hash)
    for name in initial:
        assert np.array_equal(final[name], initial[name]) == (name in statistics), name
    assert any("labels unseen" in warning for warning in summary.warnings)


def test_fedbn_lets_scale_and_shift_out_once_a_generation_where_statistics_are_adapted(
    tmp_path: Path,
) -> None:
    study = bn_study(tmp_path, "fedbn", "adapt")
    initial, local = to_arrays(segmenter_of(study)), norm_arrays(segmenter_of(study))
    run = start(study, tmp_path / "run", tiny_options())

    stopped(run, lambda progress: len(progress.rounds) == 1)
    first = run.load()[0]
    ended(run)
    last = run.load()[0]

    assert all(np.array_equal(first[name], initial[name]) for name in local)
    moved = {
        name.rpartition(".")[2] for name in local if not np.array_equal(last[name], initial[name])
    }
    assert moved == {"weight", "bias"}


def test_a_run_that_was_killed_goes_on_from_the_same_normalisation(tmp_path, ensemble) -> None:
    other, whole = ensemble
    run = start(bn_study(tmp_path, unseen="ensemble"), tmp_path / "run", tiny_options())

    stopped(run, lambda progress: len(progress.rounds) == 1)
    early, later = own_files(run, "east")[0], own_files(other, "east")[-1]
    (early.parent / later.name).write_bytes(later.read_bytes())  # made, but not counted
    _, resumed = ended(run)

    assert resumed.model_hash == whole.model_hash
    assert resumed.final["south"].cases == whole.final["south"].cases
    assert resumed.final["east"].cases == whole.final["east"].cases


def test_a_site_that_lost_its_normalisation_says_so_and_trains_on_no_other(tmp_path: Path) -> None:
    run = start(bn_study(tmp_path), tmp_path / "run", tiny_options())
    stopped(run, lambda progress: len(progress.rounds) == 1)

    for path in own_files(run, "east"):
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")

    with pytest.raises(QuorumError, match="east: own-arrays: The site has lost the arrays"):
        ended(run)


def test_an_ensemble_serves_the_held_out_site_and_nobody_else(mean, ensemble) -> None:
    run, answered = ensemble

    assert answered.final["east"].cases == mean[1].final["east"].cases  # the same training
    assert answered.final["south"].cases != mean[1].final["south"].cases
    personal = run.model(run.load()[1].personal_norms[0])
    assert {name.split("/")[1] for name in personal} == {"1", "2"}


@pytest.mark.long
def test_hints_are_made_and_used_with_a_sources_own_normalisation(tmp_path: Path) -> None:
    crisp = {"generations": 2, "phase_shares": [1, 1], "hint": "rank"}
    study = bn_study(tmp_path, unseen="adapt", crisp=crisp, federation={"rounds": 1})
    _, whole = finished(tmp_path, study, "whole")
    run = start(study, tmp_path / "run", tiny_options())

    stopped(run, lambda progress: bool(progress.hints))
    for path in (run.path / "sites" / "east" / "hints").rglob("*.safetensors"):
        path.unlink()  # made again, with the normalisation of generation 1
    _, resumed = ended(run)

    assert resumed.model_hash == whole.model_hash
    assert [len(r.missing) for r in resumed.rounds] == [0, 0]


@pytest.mark.long
def test_a_network_without_batch_norm_makes_fedbn_fedavg_and_says_so(tmp_path: Path) -> None:
    group = {"norm": "group"}
    _, plain = finished(tmp_path, bn_study(tmp_path, "fedavg-group"), "fedavg")

    _, local = finished(tmp_path, bn_study(tmp_path, "fedbn", model=group), "fedbn")

    assert local.model_hash == plain.model_hash
    assert "no BatchNorm" in local.warnings[0]


def test_a_late_update_and_a_normalisation_of_its_own_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="late"):
        bn_study(tmp_path, federation={"late": "next-round"})
