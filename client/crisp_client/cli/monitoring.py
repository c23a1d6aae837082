"""Commands about a model in use: what its predictions look like beside its training."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crisp_client.cli.app import DEFAULT_HOME, HomeOption, app, human, told
from crisp_core.errors import DataError

if TYPE_CHECKING:
    from crisp_core.schema.drift import DriftReport

LogOption = Annotated[
    Path | None, typer.Option("--log", help="Folder of the prediction log, if not in --home.")
]


@app.command()
def drift(
    model: Annotated[
        Path | None,
        typer.Argument(help="The released model: its folder, or a file in it.", metavar="[MODEL]"),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    log: LogOption = None,
    last: Annotated[int | None, typer.Option(help="Compare the newest N predictions.", min=1)] = (
        None
    ),
    since: Annotated[
        datetime | None,
        typer.Option(
            help="Compare predictions from this time (UTC) on.",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Compare with a log, or the earlier part of one, not with training."),
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="Chance of any alarm where nothing moved.", min=1e-4, max=0.5)
    ] = 0.01,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for scripts.")] = False,
) -> None:
    """Say whether predictions have moved away from what the model was trained on.

    Exit code 3: something has moved.

    Example: crisp-client drift models/cardiac --last 40
    Example: crisp-client drift --last 40 --reference crisp-site/predictions
    """
    with told():
        from crisp_client.home import SiteHome
        from crisp_client.monitoring.window import Window
        from crisp_client.monitoring.window import drift as drift_of

        report = drift_of(
            log or SiteHome(home),
            Window(last, since.replace(tzinfo=UTC) if since else None),
            model=model,
            reference=reference,
            alpha=alpha,
        )
    if as_json:
        typer.echo(report.model_dump_json())
    else:
        _say(report)
    if report.alarms:
        raise typer.Exit(DataError.exit_code)


def _say(report: DriftReport) -> None:
    """Print what moved first, then what did not."""
    from crisp_client.monitoring.words import details, verdict

    for finding in sorted(report.findings, key=lambda one: not one.alarm):
        typer.echo(f"{'MOVED' if finding.alarm else 'ok   '} {finding.sentence}{details(finding)}")
    for note in report.notes:
        human.print(f"note: {note}", markup=False, soft_wrap=True)
    for feature, why in report.not_compared.items():
        human.print(f"not compared: {feature}: {why}", markup=False, soft_wrap=True)
    human.print(verdict(report), markup=False, soft_wrap=True)


@app.command()
def metrics(
    model: Annotated[
        Path | None,
        typer.Argument(help="A released model: its drift is served too.", metavar="[MODEL]"),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    log: LogOption = None,
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0: any.", min=0, max=65535)] = 9464,
) -> None:
    """Serve the prediction log to Prometheus on this machine until stopped.

    Example: crisp-client metrics models/cardiac --port 9464
    """
    with told():
        import signal
        from threading import Event

        from crisp_client.home import SiteHome
        from crisp_client.monitoring.metrics import Watched, serve
        from crisp_core.files.released import read_card

        stop = Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        watched = Watched.of(log or SiteHome(home), read_card(model) if model else None)
        serve(watched, port, lambda words: human.print(words, markup=False), stop)
