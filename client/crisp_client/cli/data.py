"""Commands about images: synthetic cohorts, and the check of a folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from crisp_client.cli.app import DEFAULT_HOME, HomeOption, app, human, told
from crisp_core.errors import DataError, UsageError


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
    folder: Annotated[
        Path | None,
        typer.Argument(help="A site's folder in house format; without it, this site's place."),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Number of structures in the labels of FOLDER.", min=1)
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, for scripts.")] = False,
) -> None:
    """Look at everything that would stop a study here later, one line a finding.

    Connection, clock, keys, versions, GPU, disk, policy, and every case opened. With FOLDER only
    the cases of that folder.

    Example: crisp-client check
    Example: crisp-client check data/cardiac/vendor-a --classes 3
    """
    with told():
        if folder is None:
            levels = _check_home(home, as_json=as_json)
        elif classes is None:
            raise _classes_missing()
        else:
            levels = _check_folder(folder, classes, as_json=as_json)
    errors, warnings = levels.count("error"), levels.count("warning")
    human.print(f"{folder or home}: {errors} errors, {warnings} warnings", soft_wrap=True)
    if errors:
        raise typer.Exit(DataError.exit_code)


def _check_home(home: Path, *, as_json: bool) -> list[str]:
    """Print each finding as soon as it is known and return their levels."""
    from crisp_client.home import SiteHome
    from crisp_client.preflight import findings

    found = []
    with human.status("looking") as status:
        for finding in findings(
            SiteHome(home),
            on_case=lambda done, total: status.update(f"opened {done} of {total} cases"),
        ):
            found.append(finding)
            if not as_json:
                typer.echo(finding.line())
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found]))
    return [finding.level for finding in found]


def _check_folder(folder: Path, classes: int, *, as_json: bool) -> list[str]:
    from crisp_core.files.examine import examine

    found = examine(folder, classes)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found]))
    for finding in () if as_json else found:
        human.print(f"{finding.level}: {finding.sentence}", markup=False, soft_wrap=True)
    return [finding.level for finding in found]


def _classes_missing() -> UsageError:
    return UsageError(
        expected="how many structures the labels have",
        got="nothing",
        where="check FOLDER",
        fix="Add --classes N, or leave FOLDER out to check this site's place",
    )
