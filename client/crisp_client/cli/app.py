"""The command line's one application, its voice and how it ends on an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crisp_core.errors import CrispError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
human = Console(stderr=True, highlight=False)

HomeOption = Annotated[Path, typer.Option("--home", help="Folder of this site's place.")]
DEFAULT_HOME = Path("crisp-site")


@app.callback()
def about() -> None:
    """The hospital's side of CRISP-FL."""


@contextmanager
def told() -> Iterator[None]:
    """Turn an error raised on purpose into its sentence and its exit code."""
    try:
        yield
    except CrispError as error:
        human.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(error.exit_code) from None


def main() -> None:
    """Run the command line.

    Threads that wait for one another give up their core soon: as fast on an idle machine, and a
    third faster beside another job, measured on two cores.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # read when torch is first imported
    app()
