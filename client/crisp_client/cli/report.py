"""The command that writes a hospital's own page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crisp_client.cli.app import DEFAULT_HOME, HomeOption, app, human, told


@app.command()
def report(
    home: HomeOption = DEFAULT_HOME,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the page; without it, `report` in the work folder."),
    ] = None,
    names: Annotated[
        bool,
        typer.Option(
            "--names/--pseudonyms", help="How cases are called: as here, or as they left."
        ),
    ] = True,
) -> None:
    """Write this hospital's own page of its last measurement, with pictures. It is sent to nobody.

    Example: crisp-client report
    Example: crisp-client report --home runs/first/sites/vendor-c
    """
    with told():
        from crisp_client.home import SiteHome
        from crisp_client.own_page import write_own_page
        from crisp_client.settings import load_settings

        settings = load_settings(SiteHome(home).settings)
        folder = out or Path(settings.work) / "report"
        page = write_own_page(settings, folder, names=names)
    human.print(f"This hospital's own page, to be kept inside it: {page}", soft_wrap=True)
