"""The command line's one application, its voice and how it ends on an error."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from crisp_core.errors import CrispError

INTERRUPTED = 130
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
human = Console(stderr=True, highlight=False)

StudyFile = Annotated[Path, typer.Argument(help="The study, a TOML file.", metavar="STUDY.toml")]
RunOption = Annotated[Path | None, typer.Option("--run", help="Folder of the run.")]
EngineOption = Annotated[
    Literal["inline", "flower"],
    typer.Option(help="inline: one process, no Ray. flower: Flower's simulation engine."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress, errors only.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="auto: a GPU if there is one.")
]
ThreadsOption = Annotated[int, typer.Option(help="CPU threads of a site; 0: every core.", min=0)]


@app.callback()
def about() -> None:
    """Train CRISP across hospitals without moving an image."""


@contextmanager
def told() -> Iterator[None]:
    """Turn an error raised on purpose into its sentence and its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
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
