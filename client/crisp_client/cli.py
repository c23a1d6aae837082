"""`crisp-client`: what a hospital types."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from crisp_core.errors import CrispError, DataError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
human = Console(stderr=True, highlight=False)


@app.callback()
def about() -> None:
    """The hospital's side of CRISP-FL."""


@app.command()
def phantom(
    kind: Annotated[
        Literal["cardiac", "vessel-contrast", "vessel-covid", "brain"],
        typer.Argument(help="Which synthetic cohort."),
    ],
    folder: Annotated[Path, typer.Argument(help="Where to write one folder a site.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    patients: Annotated[int | None, typer.Option(help="Patients per site.", min=1)] = None,
) -> None:
    """Write a synthetic cohort in house format: several hospitals, no data needed.

    Example: crisp-client phantom cardiac data/cardiac --patients 8
    """
    try:
        from crisp_core.files.phantom_cohort import write_phantom

        sites = write_phantom(kind, folder, seed=seed, patients=patients)
    except CrispError as error:
        _fail(error)
    for site in sites:
        human.print(f"{site.name}: {site}", soft_wrap=True)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A site's folder in house format.")],
    classes: Annotated[int, typer.Option(help="Number of structures in the labels.", min=1)],
) -> None:
    """Open every case of a folder and say what is wrong with it, one line a finding.

    Example: crisp-client check data/cardiac/vendor-a --classes 3
    """
    try:
        from crisp_core.files.examine import examine

        findings = examine(folder, classes)
    except CrispError as error:
        _fail(error)
    for finding in findings:
        human.print(f"{finding.level}: {finding.sentence}", markup=False, soft_wrap=True)
    errors = sum(finding.level == "error" for finding in findings)
    if errors:
        raise typer.Exit(DataError.exit_code)
    human.print(f"{folder}: no error, {len(findings)} warnings", soft_wrap=True)


def _fail(error: CrispError) -> None:
    human.print(str(error), style="red", markup=False, soft_wrap=True)
    raise typer.Exit(error.exit_code) from None


def main() -> None:
    """Run the command line.

    Threads that wait for one another give up their core soon: as fast on an idle machine, and a
    third faster beside another job, measured on two cores.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # read when torch is first imported
    app()
