"""Commands that speak with a hospital's PACS: fetch and listen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crisp_client.cli.app import DEFAULT_HOME, HomeOption, app, human, told
from crisp_core.errors import UsageError

if TYPE_CHECKING:
    from crisp_client.pacs.listen import Count, Deliver
    from crisp_client.pacs.steps import Step
    from crisp_client.pacs.tls import OwnTls


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


@app.command()
def listen(
    caller: Annotated[
        list[str], typer.Option("--from", help="AE title that may send; several allowed.")
    ],
    model: Annotated[
        Path | None, typer.Option(help="Released model that answers each series.")
    ] = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="What the model's answer is written as.")
    ] = None,
    send_to: Annotated[
        str | None, typer.Option(help="Name of the PACS that results are sent to.")
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="Instead of a model: a command with {series} and {result}.")
    ] = None,
    ask: Annotated[
        str | None, typer.Option(help="Name of a PACS that knows how many objects a series has.")
    ] = None,
    ae_title: Annotated[str, typer.Option(help="Our AE title.")] = "CRISP",
    bind: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any.", min=0, max=65535)] = 11112,
    certificate: Annotated[
        Path | None, typer.Option(help="PEM file: listen by TLS, and prove by it who we are.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    authority: Annotated[
        Path | None, typer.Option(help="PEM file: who signs the certificate of each who may send.")
    ] = None,
    quiet: Annotated[
        float, typer.Option(help="Seconds without an object after which a series is complete.")
    ] = 10.0,
    patience: Annotated[
        float, typer.Option(help="Seconds after which a broken-off series is put aside.")
    ] = 3600.0,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Receive series by C-STORE and work on each exactly once, until stopped.

    With --model each series is answered by it, with --run by a command, else it is filed.
    The first Ctrl-C or SIGTERM lets the series at hand be finished.

    Example: crisp-client listen --from SCANNER --model runs/demo --format dicom-seg
    """
    with told():
        import signal
        import threading

        from crisp_client.home import SiteHome
        from crisp_client.pacs.inbox import Inbox
        from crisp_client.pacs.listen import Work
        from crisp_client.pacs.listen import listen as serve
        from crisp_client.pacs.receive import Door

        site, stop = SiteHome(home), threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        work = Work(
            step=_step(model, formats, run, home),
            deliver=_deliver(site.pacs, send_to),
            count=_count(site.pacs, ask),
            quiet_s=quiet,
            patience_s=patience,
        )
        tls = _tls(certificate, key, authority)
        door = Door(callers=tuple(caller), ae_title=ae_title, bind=bind, port=port, tls=tls)
        serve(Inbox(site.inbox), door, work, _say, stop)


def _step(model: Path | None, formats: list[str] | None, run: str | None, home: Path) -> Step:
    import shlex

    from crisp_client.pacs.steps import command_step, filed, predict_step

    if model is not None and run is not None:
        raise UsageError(
            expected="--model or --run", got="both", where="listen", fix="Leave one of them out"
        )
    if model is not None:
        return predict_step(model, formats or ["dicom-seg"], home)
    return command_step(shlex.split(run)) if run is not None else filed


def _tls(certificate: Path | None, key: Path | None, authority: Path | None) -> OwnTls | None:
    from crisp_client.pacs.tls import OwnTls

    if certificate is not None and key is not None:
        return OwnTls(certificate, key, authority)
    if (certificate, key, authority) != (None, None, None):
        raise UsageError(
            expected="--certificate and --key, and perhaps --authority",
            got="not both",
            where="listen",
            fix="Name both, or neither to listen in the clear",
        )
    return None


def _deliver(pacs: Path, name: str | None) -> Deliver | None:
    from crisp_client.pacs.fetch import send
    from crisp_client.pacs.places import place_named

    if name is None:
        return None
    place = place_named(pacs, name)
    return lambda files: send(files, place)


def _count(pacs: Path, name: str | None) -> Count | None:
    from crisp_client.pacs.fetch import count_of
    from crisp_client.pacs.places import place_named

    if name is None:
        return None
    place = place_named(pacs, name)
    return lambda study, series: count_of(place, study, series)


def _say(sentence: str) -> None:
    human.print(sentence, markup=False, soft_wrap=True)
