"""`crisp paper`: the protocol of the method's paper as studies, runs and a table."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from crisp_core.errors import UsageError
from crisp_server.cli.app import (
    DeviceOption,
    JsonOption,
    QuietOption,
    ThreadsOption,
    app,
    human,
    told,
)

if TYPE_CHECKING:
    from crisp_server.paper.protocol import Scale, Shift

paper = typer.Typer(no_args_is_help=True)
app.add_typer(paper, name="paper", help="The paper's protocol: write its studies, run, compare.")
WORDS = "baseline,recursive,full,upper"
DataOption = Annotated[Path, typer.Option("--data", help="The data set's folder.")]
OutOption = Annotated[Path, typer.Option("--out", help="Where studies and their runs go.")]
MethodsOption = Annotated[str, typer.Option(help="Columns of the table, separated by commas.")]
StepsOption = Annotated[int | None, typer.Option(help="Instead of 60,000.", min=3)]
SizeOption = Annotated[int | None, typer.Option(help="Pixels a side, instead of the paper's.")]
BatchOption = Annotated[int | None, typer.Option(help="Slices a step, instead of the paper's.")]
NetworkOption = Annotated[str, typer.Option(help="Instead of the paper's; small fits a CPU.")]
RunFlag = Annotated[
    bool, typer.Option("--run", help="Run the studies too; continues what is there.")
]


@paper.command()
def mnms(
    data: DataOption,
    out: OutOption = Path("paper-mnms"),
    methods: MethodsOption = WORDS,
    steps: StepsOption = None,
    size: SizeOption = None,
    batch_size: BatchOption = None,
    architecture: NetworkOption = "DeepLabV3Plus",
    run: RunFlag = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Table 1: train on vendor A of M&Ms, test on B, C and D.

    Example: crisp paper mnms --data OpenDataset --methods baseline,full --run
    """
    with told():
        from crisp_server.paper import protocol

        _say_counts(data)
        scale = protocol.Scale(steps, size, architecture, batch_size)
        studies = _table_studies([protocol.heart(data.resolve())], _chosen(methods), scale)
        _write_and_run(studies, out, scale.changes(), _Way(run, device, threads, quiet))


@paper.command(name="mnms-loho")
def mnms_loho(
    data: DataOption,
    out: OutOption = Path("paper-mnms-loho"),
    methods: MethodsOption = "baseline,full",
    rounds: Annotated[int, typer.Option(help="Rounds of each generation.", min=1)] = 20,
    steps: StepsOption = None,
    size: SizeOption = None,
    batch_size: BatchOption = None,
    architecture: NetworkOption = "DeepLabV3Plus",
    run: RunFlag = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Federate the hospitals A, B2, B3, C and D of M&Ms, each left out in turn.

    Example: crisp paper mnms-loho --data OpenDataset --methods full --run
    """
    with told():
        from crisp_server.paper import protocol

        _say_counts(data)
        scale = protocol.Scale(steps, size, architecture, batch_size)
        chosen = [word for word in _chosen(methods) if word != protocol.UPPER]
        studies = protocol.one_hospital_out(data.resolve(), chosen, scale, rounds)
        _write_and_run(studies, out, scale.changes(), _Way(run, device, threads, quiet))


@paper.command()
def ct(
    data: DataOption,
    out: OutOption = Path("paper-ct"),
    contrast: Annotated[str, typer.Option(help="Condition of this cohort.")] = "site=contrast",
    non_contrast: Annotated[str, typer.Option(help="Condition.")] = "site=non-contrast",
    normal: Annotated[str, typer.Option(help="Condition.")] = "site=normal",
    covid: Annotated[str, typer.Option(help="Condition.")] = "site=covid",
    shifts: Annotated[str, typer.Option(help="contrast, covid or both.")] = "contrast,covid",
    methods: MethodsOption = WORDS,
    steps: StepsOption = None,
    size: SizeOption = None,
    batch_size: BatchOption = None,
    architecture: NetworkOption = "DeepLabV3Plus",
    run: RunFlag = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Table 2: lung vessels, contrast to non-contrast CT and normal to COVID-19.

    The paper's CT is private: a table of files with those four sites, or folders in house format.

    Example: crisp paper ct --data vessels --shifts covid --run
    """
    with told():
        from crisp_server.paper import protocol

        place = data.resolve()
        known = {
            "contrast": protocol.vessels(
                "ct-contrast", place, ("contrast", contrast), ("non-contrast", non_contrast)
            ),
            "covid": protocol.vessels("ct-covid", place, ("normal", normal), ("covid", covid)),
        }
        scale = protocol.Scale(steps, size, architecture, batch_size)
        wanted = [known[word] for word in _words(shifts, tuple(known), "--shifts")]
        studies = _table_studies(wanted, _chosen(methods), scale)
        _write_and_run(studies, out, scale.changes(), _Way(run, device, threads, quiet))


@paper.command()
def table(
    runs: Annotated[Path, typer.Argument(help="The folder that --out named.")],
    as_json: JsonOption = False,
) -> None:
    """Print the measured cells beside the published ones.

    Example: crisp paper table paper-mnms
    """
    with told():
        from crisp_server.paper.files import finished
        from crisp_server.paper.table import as_markdown, lines_of, scores_of

        lines = lines_of(scores_of(finished(runs)))
        if not lines:
            raise UsageError(
                expected="runs of crisp paper mnms or ct", got="others", where=str(runs),
                fix="Name the folder that --out named",
            )  # fmt: skip
    if as_json:
        typer.echo(json.dumps([asdict(line) for line in lines]))
    else:
        typer.echo(as_markdown(lines))


class _Way(NamedTuple):
    """Whether and how the studies are run."""

    run: bool
    device: Literal["auto", "cpu", "cuda"]
    threads: int
    quiet: bool


def _table_studies(
    shifts: Sequence[Shift], methods: Sequence[str], scale: Scale
) -> Iterator[dict[str, Any]]:
    from crisp_server.paper import protocol

    single = [word for word in methods if word != protocol.UPPER]
    for shift in shifts:
        yield from protocol.single_source(shift, single, scale)
        if protocol.UPPER in methods:
            yield from protocol.upper_bound(shift, scale)


def _write_and_run(
    studies: Iterable[dict[str, Any]], out: Path, changes: Sequence[str], way: _Way
) -> None:
    from crisp_server.cli.simulation import carried
    from crisp_server.paper.files import run_studies, write_studies
    from crisp_server.simulate import SimulationOptions

    paths = write_studies(studies, out)
    human.print(f"{len(paths)} studies in {out}", soft_wrap=True)
    if changes:
        human.print(f"Other than the paper's: {', '.join(changes)}", markup=False)
    if way.run:
        cache, command = out / "cache", shlex.join(sys.argv)
        options = SimulationOptions("inline", way.device, way.threads, cache, command)
        run_studies(paths, options, lambda name, run: carried(run, name, way.quiet))
        human.print(f"See it: crisp paper table {shlex.quote(str(out))}", soft_wrap=True)
    else:
        human.print("Run them: the same command with --run; or crisp simulate each")


def _say_counts(data: Path) -> None:
    """Read the table of patients and say which count is used beside the paper's; no image opens."""
    from crisp_core.files.layouts.mnms_table import find_table, read_patients
    from crisp_server.paper.published import VOLUMES

    path = find_table(data)
    if path is None:
        fix = "Name the folder OpenDataset, with Training/, Validation/ and Testing/"
        raise UsageError(expected="the table of M&Ms", got="none", where=str(data), fix=fix)
    vendors = [patient.vendor for patient in read_patients(path).values()]
    said = (f"{v} {2 * vendors.count(v)} (paper: {count})" for v, count in VOLUMES.items())
    human.print(f"Volumes by {path.name}: {', '.join(said)}", markup=False, soft_wrap=True)


def _chosen(methods: str) -> list[str]:
    return _words(methods, tuple(WORDS.split(",")), "--methods")


def _words(text: str, known: Sequence[str], option: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in known:
            raise UsageError(
                expected=f"words of {', '.join(known)}",
                got=repr(word),
                where=option,
                fix="Correct it",
            )
    return list(dict.fromkeys(words))
