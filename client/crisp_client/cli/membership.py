"""The command that makes a hospital a member of a federation."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from crisp_client.cli.app import DEFAULT_HOME, HomeOption, app, human, told
from crisp_client.cli.trust import approve as approve_study


@app.command()
def join(
    token: Annotated[str, typer.Argument(help="The token, or a file that holds it.")],
    data: Annotated[list[Path], typer.Option(help="Folder of images; may be given repeatedly.")],
    home: HomeOption = DEFAULT_HOME,
    approve: Annotated[bool, typer.Option("--approve", help="Approve the study unasked.")] = False,
    min_cohort: Annotated[
        int, typer.Option(help="Fewest patients that a figure may describe.", min=1)
    ] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Join a federation: make this site's keys here, send their public halves, read the study.

    Repeat the same command if anything stops it.

    Example: crisp-client join north.token --data /srv/cardiac --approve
    """
    with told():
        from crisp_client.approval import write_policy
        from crisp_client.home import SiteHome
        from crisp_client.joining import join as join_federation

        place = SiteHome(home)
        joined = join_federation(token, place, data, device=device)
        write_policy(place, min_cohort=min_cohort)
    site, coordinator = joined.settings.site, joined.settings.coordinator
    _say(f"{site} has joined {coordinator}; its keys, settings and policy are in {home}")
    if approve or sys.stdin.isatty():
        approve_study(joined.study_file, home, yes=approve)
    else:
        words = ["crisp-client", "approve", str(joined.study_file), "--home", str(home)]
        _say(f"The study waits for a person: {shlex.join(words)}")


def _say(sentence: str) -> None:
    human.print(sentence, markup=False, soft_wrap=True)
