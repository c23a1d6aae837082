"""Commands that speak with a hospital's PACS: fetch and listen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crisp_client.cli.app import DEFAULT_HOME, HomeOption, app, human, told


@app.command()
def fetch(
    pacs: Annotated[str, typer.Option(help="Name of a PACS in pacs.toml of this site's home.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Gets one folder a series.")],
    study: Annotated[str | None, typer.Option(help="UID of a study.")] = None,
    accession: Annotated[str | None, typer.Option(help="Accession number.")] = None,
    query: Annotated[
        list[str] | None, typer.Option(help="KEYWORD=VALUE of a study; several allowed.")
    ] = None,
    modality: Annotated[str, typer.Option(help="Only series of this one, such as MR.")] = "",
    deidentify: Annotated[
        bool, typer.Option("--deidentify", help="Write only what says nothing of a person.")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Fetch series from a PACS; each appears whole or not at all, nothing is overwritten.

    Example: crisp-client fetch --pacs archive --accession A123 -o images
    """
    with told():
        from crisp_client.home import SiteHome
        from crisp_client.pacs.fetch import fetch as fetch_series
        from crisp_client.pacs.places import place_named
        from crisp_client.pacs.query import question_of
        from crisp_client.settings import load_settings

        site = SiteHome(home)
        place = place_named(site.pacs, pacs)
        question = question_of(study, accession, query or (), modality)
        key = load_settings(site.settings).pseudonym_key if deidentify else ""
        for series in fetch_series(place, question, out, key=key):
            note = "" if series.made_now else " (was there already)"
            _say(f"{series.modality}: {series.count} objects -> {series.folder}{note}")
            for sign in series.signs:
                _say(f"warning: a name may be readable in its pixels: {sign}")


def _say(sentence: str) -> None:
    human.print(sentence, markup=False, soft_wrap=True)
