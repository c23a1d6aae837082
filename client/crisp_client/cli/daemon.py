"""The command that is a hospital's part of a federation for as long as it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crisp_client.cli.app import DEFAULT_HOME, HomeOption, app, human, told


@app.command()
def start(
    home: HomeOption = DEFAULT_HOME,
    probe_port: Annotated[
        int, typer.Option(help="Port of /live and /ready on 127.0.0.1; 0: any.", min=0, max=65535)
    ] = 0,
) -> None:
    """Connect this site to its coordinator and work until stopped (Ctrl-C or SIGTERM).

    The first signal lets the task at hand be finished and sent; a second one stops at once.

    Example: crisp-client start --home crisp-site
    """
    with told():
        from crisp_client.daemon.start import serve
        from crisp_client.home import SiteHome

        serve(SiteHome(Path(home).resolve()), _say, probe_port=probe_port)


def _say(sentence: str) -> None:
    human.print(sentence, markup=False, soft_wrap=True)
