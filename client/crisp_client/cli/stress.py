"""The command that tries a model where it could fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from crisp_client.cli.app import DEFAULT_HOME, HomeOption, app, human, told
from crisp_core.errors import UsageError

if TYPE_CHECKING:
    from crisp_client.device import Workbench
    from crisp_client.stress.subject import Subject, Trials
    from crisp_core.schema.stress import StressAnswer, StressPlan

INTERRUPTED = 130


@app.command()
def stress(
    model: Annotated[
        Path, typer.Argument(help="A run's folder, a released model, or its weights.")
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(help="Cases in house format; without it, those of this site's place."),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="A second model, to which drops are compared.")
    ] = None,
    modality: Annotated[
        Literal["any", "ct", "mr"], typer.Option(help="Try only what can happen to such images.")
    ] = "any",
    corruptions: Annotated[
        str, typer.Option(help="Words, separated by commas; all that the modality has.")
    ] = "",
    severities: Annotated[str, typer.Option(help="Of 1 to 5, separated by commas.")] = "1,2,3,4,5",
    patients: Annotated[
        int | None, typer.Option(help="Try that many patients, not all.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same artefacts.", min=0)] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the page, its tables and all answers.")] = (
        Path("stress")
    ),
    home: HomeOption = DEFAULT_HOME,
    device: Annotated[str, typer.Option(help="With FOLDER: auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(help="With FOLDER: CPU threads; 0: all.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="The tables, for scripts.")] = False,
) -> None:
    """Measure a model on this site's cases under every artefact, beside its clean score.

    Ctrl-C keeps what is done: the page shows the cases that are whole, and the same command
    continues. Pages and answers stay here; no picture and no name of a file is in the page.

    Example: crisp-client stress runs/demo data/cardiac/vendor-d
    Example: crisp-client stress runs/crisp --baseline runs/fedavg --modality mr --patients 10
    """
    with told():
        from crisp_client.stress.record import begin
        from crisp_client.stress.subject import some_of
        from crisp_core.report.stress import write_stress

        bench, subjects, trials = _opened(model, baseline, folder, home, device, threads)
        trials = some_of(trials, patients, seed)
        plan = _plan(subjects, trials, _words(corruptions, modality), _levels(severities), seed)
        answers = list(begin(out, plan))
        stopped = _measure(answers, subjects, trials, plan, bench, out)
        page, sheets = write_stress(plan, answers, out)
    if as_json:
        typer.echo(json.dumps({"plan": plan.model_dump(mode="json"), "tables": sheets}))
    human.print(f"The page: {page}", markup=False, soft_wrap=True)
    if stopped:
        human.print("Stopped: the same command continues where this one ended.")
        raise typer.Exit(INTERRUPTED)


def _opened(
    model: Path,
    baseline: Path | None,
    folder: Path | None,
    home: Path,
    device: str,
    threads: int,
) -> tuple[Workbench, list[Subject], Trials]:
    from crisp_client.device import workbench_of
    from crisp_client.home import SiteHome
    from crisp_client.settings import load_settings
    from crisp_client.stress.subject import load_subject, paired, trials_in, trials_of
    from crisp_core.schema.manifest import SiteSettings

    if folder is None:
        settings = load_settings(SiteHome(home).settings)
    else:
        settings = SiteSettings(
            site="folder",
            data=(str(folder),),
            work="",
            device=device,
            threads=threads,
            pseudonym_key="",
        )
    bench = workbench_of(settings)
    first = load_subject(model, bench)
    subjects = [first] if baseline is None else [*paired(first, load_subject(baseline, bench))]
    if folder is None:
        return bench, subjects, trials_of(settings, first.study)
    return bench, subjects, trials_in(folder, len(first.study.classes))


def _plan(
    subjects: list[Subject],
    trials: Trials,
    corruptions: tuple[str, ...],
    severities: tuple[int, ...],
    seed: int,
) -> StressPlan:
    from crisp_core.schema.stress import StressPlan

    return StressPlan(
        models=tuple(subject.marks for subject in subjects),
        classes=subjects[0].study.classes,
        data=trials.data,
        split=trials.split,
        cases=tuple(one.name for one in trials.cases),
        corruptions=corruptions,
        severities=severities,
        seed=seed,
    )


def _measure(
    answers: list[StressAnswer],
    subjects: list[Subject],
    trials: Trials,
    plan: StressPlan,
    bench: Workbench,
    out: Path,
) -> bool:
    """Add what is not measured yet; tell whether somebody stopped it."""
    from crisp_client.stress.measure import stress as measured
    from crisp_client.stress.record import appending

    done = {one.key for one in answers}
    try:
        with human.status("looking") as status, appending(out) as file:
            for one in measured(subjects, trials.cases, plan, bench, done):
                file.write(f"{one.model_dump_json()}\n")
                answers.append(one)
                place = plan.cases.index(one.case) + 1
                status.update(
                    f"case {place} of {len(plan.cases)}, {one.corruption} {one.severity}: "
                    f"{100 * len(answers) / plan.answer_count:.0f} %"
                )
    except KeyboardInterrupt:
        return True
    return False


def _words(corruptions: str, modality: Literal["any", "ct", "mr"]) -> tuple[str, ...]:
    from crisp_core.numerics.corrupt import CORRUPTIONS, corruptions_of

    asked = _parts(corruptions)
    unknown = [word for word in asked if word not in CORRUPTIONS]
    if unknown:
        raise UsageError(
            expected=f"corruptions among {', '.join(CORRUPTIONS)}",
            got=", ".join(unknown),
            where="--corruptions",
            fix="Correct the word, or leave the option out to try all",
        )
    return tuple(dict.fromkeys(asked)) or corruptions_of(modality)


def _levels(severities: str) -> tuple[int, ...]:
    asked = _parts(severities)
    if not asked or any(word not in {"1", "2", "3", "4", "5"} for word in asked):
        raise UsageError(
            expected="severities from 1 to 5",
            got=severities,
            where="--severities",
            fix="Write them as 1,3,5",
        )
    return tuple(sorted({int(word) for word in asked}))


def _parts(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
