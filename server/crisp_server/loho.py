"""Leave one hospital out: one federation per held-out hospital, each of them measured once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from crisp_core.errors import StudyError, UsageError
from crisp_core.report.folds import Fold, fold_of
from crisp_core.report.loho import write_loho
from crisp_core.schema.methods import preset_of
from crisp_core.schema.study import SiteEntry, Study
from crisp_core.schema.summary import RunSummary
from crisp_server.compare import Contest, insist_on_baseline, insist_on_same, once_run, variants
from crisp_server.leakage import insist_on_disjoint, leakage_of, marks_of
from crisp_server.simulate import SimulationOptions, carry_on, start
from crisp_server.store import RunFolder

FEWEST_HOSPITALS = 2


RunOne = Callable[[str, RunFolder], RunSummary]


def folds(study: Study) -> dict[str, Study]:
    """Return held-out hospital -> the study in which all the other sources train.

    A site that the study itself holds out stays held out in every fold: it never trains.

    Raises:
        StudyError: If fewer than two hospitals can train.
    """
    if len(study.sources) < FEWEST_HOSPITALS:
        raise StudyError(
            expected='at least two sites with role = "source"',
            got=f"{len(study.sources)}",
            where="sites",
            fix="Give every hospital that takes its turn that role",
        )
    return {name: _without(study, name) for name in study.sources}


def _without(study: Study, held_out: str) -> Study:
    sites = {
        name: SiteEntry(role="held-out", data=site.data) if name == held_out else site
        for name, site in study.sites.items()
    }
    training = len(study.sources) - 1
    quorum = study.federation.quorum
    federation = study.federation.model_copy(
        update={"quorum": min(quorum, training) if quorum else None}
    )
    evaluation = study.evaluation.model_copy(update={"sealed_labels": True})
    return study.model_copy(
        update={"sites": sites, "federation": federation, "evaluation": evaluation}
    )


def leave_one_site_out(
    study: Study,
    contest: Contest,
    folder: Path,
    options: SimulationOptions,
    run_one: RunOne | None = None,
    *,
    own_norm: bool = False,
) -> list[Fold]:
    """Run every fold that is not finished yet and write `loho.html`, `.json` and `.md`.

    Args:
        study: Its sources take turns at being held out.
        contest: Methods, seeds, baseline and, for a machine that does a part, the hospital.
        folder: Each federation has a run folder of its own in it, so that a stopped command
            continues where it was.
        options: How this machine is used.
        run_one: Called with a title and a run folder, brings the run to its end.
        own_norm: Each method has the normalisation of its own word instead of the study's.

    Raises:
        UsageError: If a method word is unknown or makes no model for a new hospital, the baseline
            is none of the methods, or the one hospital that is wanted takes no turn.
        StudyError: If fewer than two hospitals can train.
    """
    _insist_on_one_model(contest.methods)
    insist_on_baseline(contest.baseline, contest.methods)
    taken = _chosen(folds(study), contest.held_out)
    done: list[Fold] = []
    places: list[Path] = []
    for method, seed, hospital, fold in _planned(taken, contest, own_norm=own_norm):
        place = folder / f"{method}-seed{seed}" / hospital
        run = RunFolder.open(place) if RunFolder.started(place) else start(fold, place, options)
        insist_on_same(run, fold)
        title = f"{method}, seed {seed}, without {hospital}"
        one = run_one(title, run) if run_one else carry_on(run, lambda _: None)
        done.append(fold_of(method, seed, hospital, one))
        places.append(place)
        leakage = leakage_of(marks_of(places))
        insist_on_disjoint(leakage)
        baseline = once_run(contest, [one.method for one in done])
        write_loho(done, folder, leakage, baseline=baseline)
    return done


def _chosen(every: Mapping[str, Study], held_out: str | None) -> Mapping[str, Study]:
    if held_out is None:
        return every
    if held_out not in every:
        raise UsageError(
            expected=f"one of the hospitals that take turns: {', '.join(every)}",
            got=repr(held_out),
            where="held_out",
            fix="Name one of them",
        )
    return {held_out: every[held_out]}


def _planned(
    every: Mapping[str, Study], contest: Contest, *, own_norm: bool
) -> Iterator[tuple[str, int, str, Study]]:
    """Yield every federation seed by seed: a command that is stopped has whole seeds to show."""
    for seed in dict.fromkeys(contest.seeds):
        for held_out, fold in every.items():
            for method, _, variant in variants(fold, contest.methods, [seed]):
                yield method, seed, held_out, _normalised(variant) if own_norm else variant


def _normalised(study: Study) -> Study:
    preset: Mapping[str, object] = preset_of(study.method).get("model", {})
    norm = preset.get("norm", "network")
    return study.model_copy(update={"model": study.model.model_copy(update={"norm": norm})})


def _insist_on_one_model(methods: Sequence[str]) -> None:
    if "local" in methods:
        raise UsageError(
            expected="methods that make one model",
            got="'local', which makes one a hospital",
            where="--methods",
            fix="Leave it out; `crisp compare` shows it",
        )
