"""Commands about images: synthetic cohorts, and the check of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from crisp_client.cli.app import app, human, told
from crisp_core.errors import DataError


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
    with told():
        from crisp_core.files.phantom_cohort import write_phantom

        sites = write_phantom(kind, folder, seed=seed, patients=patients)
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
    with told():
        from crisp_core.files.examine import examine

        findings = examine(folder, classes)
    for finding in findings:
        human.print(f"{finding.level}: {finding.sentence}", markup=False, soft_wrap=True)
    errors = sum(finding.level == "error" for finding in findings)
    if errors:
        raise typer.Exit(DataError.exit_code)
    human.print(f"{folder}: no error, {len(findings)} warnings", soft_wrap=True)
