"""Commands of a federation on one machine: simulate, compare, resume, report."""

from __future__ import annotations

import json
import shlex
import sys
from importlib import resources
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from crisp_core.errors import CrispError
from crisp_server.cli.app import (
    INTERRUPTED,
    DeviceOption,
    EngineOption,
    JsonOption,
    QuietOption,
    RunOption,
    StudyFile,
    ThreadsOption,
    app,
    human,
    told,
)

if TYPE_CHECKING:
    from crisp_core.schema.summary import RunSummary
    from crisp_server.compare import Contest
    from crisp_server.simulate import Device, Engine, SimulationOptions
    from crisp_server.store import RunFolder


@app.command()
def example() -> None:
    """Print a study to begin with.

    Example: crisp example > study.toml
    """
    text = resources.files("crisp_server").joinpath("example_study.toml").read_text()
    typer.echo(text, nl=False)


@app.command()
def simulate(
    study: StudyFile,
    run: RunOption = None,
    engine: EngineOption = "inline",
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a whole federation on this machine, from study to report.

    Example: crisp simulate study.toml --run runs/first
    """
    with told():
        from crisp_server.settings import load_study
        from crisp_server.simulate import SimulationOptions, parts_of, start

        whole = load_study(study)
        folder = run or Path("runs") / whole.name
        options = SimulationOptions(engine, device, threads, None, shlex.join(sys.argv))
        parts = {
            name: start(part, folder / name, options) for name, part in parts_of(whole).items()
        }
        for name, part in parts.items():
            _finish(part, name or whole.name, quiet, as_json)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="Folder of a run that was started before.")],
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Continue a run that was stopped; the final model is the same to the byte.

    Example: crisp resume runs/first
    """
    with told():
        from crisp_server.simulate import opened_parts

        for name, part in opened_parts(run).items():
            part.note_command(shlex.join(sys.argv))
            _finish(part, name or part.study.name, quiet, as_json)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    as_json: JsonOption = False,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Also write what another group needs to repeat it: a zip file."),
    ] = None,
) -> None:
    """Write the report, the model card and every table of a finished run again.

    Example: crisp report runs/first
    Example: crisp report runs/first --bundle first.zip
    """
    with told():
        from crisp_server.simulate import opened_parts, reported

        for name, part in opened_parts(run).items():
            summary = reported(part)
            tell_result(part, summary, as_json)
            if bundle:
                _keep_bundle(summary, bundle.with_stem(f"{bundle.stem}-{name}") if name else bundle)


def _keep_bundle(summary: RunSummary, path: Path) -> None:
    from crisp_core.files.atomic import write_bytes
    from crisp_core.report.bundle import bundle

    write_bytes(path, bundle(summary))
    human.print(f"Bundle: {path}", soft_wrap=True)


MethodsOption = Annotated[str, typer.Option(help="Method words, separated by commas.")]
SeedsOption = Annotated[str, typer.Option(help="Seeds, separated by commas.")]
BaselineOption = Annotated[
    str | None,
    typer.Option(
        metavar="METHOD",
        help="Method that the others are held against: differences and p. Without it fedavg, if it "
        "runs, or the first.",
    ),
]


@app.command()
def compare(
    study: StudyFile,
    methods: MethodsOption = "fedavg,fedavg-2.5d,crisp-paper,crisp",
    seeds: SeedsOption = "1,2",
    baseline: BaselineOption = None,
    run: RunOption = None,
    engine: EngineOption = "inline",
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Run several methods at equal steps and put them in one table; continues where it stopped.

    Example: crisp compare study.toml --methods fedavg,crisp --seeds 1,2,3
    """
    with told():
        from crisp_server.compare import compare as compare_all
        from crisp_server.settings import load_study

        whole = load_study(study)
        folder = run or Path("runs") / f"{whole.name}-comparison"
        compare_all(
            whole,
            _contest(methods, seeds, baseline),
            folder,
            _kept_options(folder, engine, device, threads),
            lambda name, opened: carried(opened, name, quiet),
        )
        human.print(f"Comparison: {folder / 'comparison.html'}")


@app.command()
def loho(
    study: StudyFile,
    methods: MethodsOption = "fedavg,crisp",
    seeds: SeedsOption = "1",
    baseline: BaselineOption = None,
    own_norm: Annotated[
        bool, typer.Option("--own-norm", help="Each method with the normalisation of its word.")
    ] = False,
    run: RunOption = None,
    engine: EngineOption = "inline",
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Hold out one hospital after the other; the worst of them first; continues where it stopped.

    Example: crisp loho study.toml --methods fedavg,crisp --seeds 1,2,3
    """
    with told():
        from crisp_server.loho import leave_one_site_out
        from crisp_server.settings import load_study

        whole = load_study(study)
        folder = run or Path("runs") / f"{whole.name}-loho"
        leave_one_site_out(
            whole,
            _contest(methods, seeds, baseline),
            folder,
            _kept_options(folder, engine, device, threads),
            lambda name, opened: carried(opened, name, quiet),
            own_norm=own_norm,
        )
        human.print(f"Leave one hospital out: {folder / 'loho.html'}")


def _contest(methods: str, seeds: str, baseline: str | None) -> Contest:
    from crisp_server.compare import Contest

    words = tuple(word.strip() for word in methods.split(","))
    return Contest(words, tuple(_numbers(seeds)), baseline)


def _kept_options(folder: Path, engine: Engine, device: Device, threads: int) -> SimulationOptions:
    """Let every run of a folder share one cache of prepared slices."""
    from crisp_server.simulate import SimulationOptions

    return SimulationOptions(engine, device, threads, folder / "cache", shlex.join(sys.argv))


def _numbers(text: str) -> list[int]:
    if not all(word.strip().isdecimal() for word in text.split(",")):
        message = f"Expected whole numbers separated by commas, got {text!r} (--seeds)."
        raise typer.BadParameter(message)
    return [int(word) for word in text.split(",")]


def _finish(run: RunFolder, title: str, quiet: bool, as_json: bool) -> None:
    tell_result(run, carried(run, title, quiet), as_json)


def carried(run: RunFolder, title: str, quiet: bool) -> RunSummary:
    """Bring a run to its end and say how it goes."""
    if run.facts.home:
        from crisp_server.cli.coordinator import follow

        return follow(run, quiet)
    from crisp_server.simulate import carry_on, words_of_sites
    from crisp_server.terminal import watching

    try:
        if quiet:
            return carry_on(run, lambda _: None)
        with watching(run.study, run.path / "events.jsonl", human, title):
            return carry_on(run, lambda _: None)
    except KeyboardInterrupt:
        human.print(f"Stopped; nothing is lost. Continue: [bold]crisp resume {run.path}")
        raise typer.Exit(INTERRUPTED) from None
    except CrispError:
        for words in words_of_sites(run):
            human.print(words, style="red", markup=False, soft_wrap=True)
        raise


def tell_result(run: RunFolder, summary: RunSummary, as_json: bool) -> None:
    """Say how the run ended: the worst hospital first, or all of it as JSON."""
    from crisp_server.holdout import site_dice

    means = {site: round(site_dice(e), 4) for site, e in summary.final.items()}
    held_out = {site: means[site] for site in summary.study.held_out}
    worst = min(held_out or means, key=lambda site: means[site])
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "run": str(run.path),
                    "selected_generation": summary.selected_generation,
                    "mean_dice": means,
                    "worst_site": worst,
                    "model": summary.model_hash,
                    "report": str(run.path / "report.html"),
                    "degraded": summary.degraded,
                }
            )
        )
        return
    if summary.degraded:
        human.print(summary.degraded, style="red", markup=False, soft_wrap=True)
    for warning in summary.warnings:
        human.print(warning, style="yellow", markup=False, soft_wrap=True)
    sources = fmean(means[site] for site in summary.study.sources)
    human.print(
        f"Worst {'held-out ' if held_out else ''}site: {worst}, mean Dice {means[worst]:.3f}. "
        f"Sources: {sources:.3f}. "
        f"Generation {summary.selected_generation} of {len(summary.generations)} selected.",
        soft_wrap=True,
    )
    human.print(f"Report: {run.path / 'report.html'}", soft_wrap=True)
