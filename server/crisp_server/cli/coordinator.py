"""Commands of a federation of real hospitals: provision, up, run, status, watch, stop, audit."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crisp_core.errors import RunStateError
from crisp_server.cli.app import INTERRUPTED, JsonOption, QuietOption, StudyFile, app, human, told
from crisp_server.home import CoordinatorHome

if TYPE_CHECKING:
    from crisp_core.schema.summary import RunSummary
    from crisp_server.deployment.invitations import Invitation
    from crisp_server.store import RunFolder

CHECK_FAILED = 3
LOOK_EVERY_S = 1.0
DEFAULT_HOME = Path("crisp-home")
HomeOption = Annotated[Path, typer.Option("--home", help="The coordinator's folder.")]
LONGEST_DAYS = 3650
DaysOption = Annotated[
    int, typer.Option(min=1, max=LONGEST_DAYS, help="Days that the certificate holds.")
]


@app.command()
def provision(
    study: StudyFile,
    address: Annotated[str, typer.Option(metavar="HOST[:PORT]", help="What hospitals connect to.")],
    home: HomeOption = DEFAULT_HOME,
    token_hours: Annotated[float, typer.Option(min=0.01, help="Hours a join token lives.")] = 72.0,
    days: DaysOption = 825,
) -> None:
    """Make the coordinator's folder: certificates, keys and one join token per hospital.

    Example: crisp provision study.toml --address fl.hospital.example
    """
    with told():
        from crisp_server.deployment.provision import provision as make
        from crisp_server.settings import load_study

        place = CoordinatorHome(home)
        made = make(place, load_study(study), address, token_hours=token_hours, days=days)
        for invitation in made:
            tell_invitation(invitation)
        human.print(f"Give each hospital its token, then: crisp up{_home_words(home)}")


@app.command()
def renew(home: HomeOption = DEFAULT_HOME, days: DaysOption = 825) -> None:
    """Make a new server certificate; hospitals need do nothing.

    Example: crisp renew --days 825
    """
    with told():
        from crisp_server.deployment.provision import renew_certificate

        renew_certificate(CoordinatorHome(home), days)
        human.print("New certificate; it is used from the next `crisp up` on.")


@app.command()
def up(home: HomeOption = DEFAULT_HOME) -> None:
    """Serve the hospitals until stopped; whatever dies is restarted.

    Example: crisp up
    """
    with told():
        from crisp_server.deployment.up import up as serve

        signals: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _frame: signals.append(received))
        serve(CoordinatorHome(home), _say, lambda: bool(signals))


@app.command()
def run(
    home: HomeOption = DEFAULT_HOME,
    accept: Annotated[
        list[str] | None,
        typer.Option(metavar="SITE:WHAT", help="An error of the data verdict is a false alarm."),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run the study that was provisioned and follow it to its end and its report.

    Ctrl-C leaves the federation at work.

    Example: crisp run
    """
    with told():
        from crisp_server.cli.simulation import tell_result
        from crisp_server.deployment.submit import opened_run

        opened = opened_run(CoordinatorHome(home), shlex.join(sys.argv), accept or ())
        tell_result(opened, follow(opened, quiet), as_json)


@app.command()
def status(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Say how the federation stands: the run, the processes, the hospitals.

    Example: crisp status
    """
    with told():
        from crisp_server.deployment.status import status_of

        found = status_of(CoordinatorHome(home))
        if as_json:
            typer.echo(json.dumps(asdict(found)))
            return
        typer.echo(found.sentence)
        for child in found.processes:
            typer.echo(f"  {child.name}: {child.state}, {child.restarts} restarts")
        for site, word in found.sites.items():
            typer.echo(f"  {site}: {word}")


@app.command()
def watch(home: HomeOption = DEFAULT_HOME) -> None:
    """Show the run as it goes, until it ends or Ctrl-C; the run does not notice.

    Example: crisp watch
    """
    with told():
        from crisp_server.deployment.serverapp import conductor
        from crisp_server.deployment.status import status_of
        from crisp_server.terminal import watching

        opened = _opened(home)
        try:
            with watching(
                opened.study, opened.path / "events.jsonl", human, opened.study.name, whole=True
            ):
                while conductor(opened) is not None:
                    time.sleep(LOOK_EVERY_S)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        _say(status_of(CoordinatorHome(home)).sentence)


@app.command()
def stop(home: HomeOption = DEFAULT_HOME) -> None:
    """Stop the run; it can be continued from its last saved step.

    Example: crisp stop
    """
    with told():
        from crisp_server.deployment.submit import stop as end

        opened = _opened(home)
        end(CoordinatorHome(home), opened)
        _say(f"Stopped; nothing is lost. Continue: crisp resume {opened.path}")


@app.command()
def audit(
    home: HomeOption = DEFAULT_HOME,
    site_ledger: Annotated[
        Path | None, typer.Option(help="A hospital's ledger, to compare with ours.")
    ] = None,
    site: Annotated[str, typer.Option(help="Whose ledger that is.")] = "",
) -> None:
    """Verify the ledger of the run: the chain, both signatures of every record.

    Example: crisp audit --site-ledger north-ledger.jsonl --site north
    """
    with told():
        from crisp_server.deployment.audit import audited

        findings = audited(CoordinatorHome(home), _opened(home), site_ledger, site)
        for finding in findings:
            typer.echo(f"{finding.level}: {finding.where}: {finding.sentence}")
        if any(finding.level == "error" for finding in findings):
            raise typer.Exit(CHECK_FAILED)
        typer.echo("The chain is whole and every signature holds.")


def follow(opened: RunFolder, quiet: bool) -> RunSummary:
    """Bring a run of real hospitals to its end; Ctrl-C leaves it at work."""
    from crisp_server.deployment.submit import carry_on
    from crisp_server.terminal import watching

    try:
        if quiet:
            return carry_on(opened, lambda _line: None)
        with watching(opened.study, opened.path / "events.jsonl", human, opened.study.name):
            return carry_on(opened, _say)
    except KeyboardInterrupt:
        words = _home_words(Path(opened.facts.home))
        _say(f"The federation works on. See it: crisp watch{words}. Stop it: crisp stop{words}")
        raise typer.Exit(INTERRUPTED) from None


def tell_invitation(invitation: Invitation) -> None:
    """Say where a token is; the token itself is not for the screen."""
    expires = invitation.token.expires.isoformat(timespec="minutes")
    _say(f"{invitation.site}: {invitation.file} (once, until {expires})")


def _opened(home: Path) -> RunFolder:
    """Open the run of a home."""
    from crisp_server.deployment.settings import study_of
    from crisp_server.store import RunFolder

    place = CoordinatorHome(home)
    folder = place.runs / study_of(place).name
    if not RunFolder.started(folder):
        raise RunStateError(
            expected="a run",
            got="none yet",
            where=str(folder),
            fix=f"Start it: crisp run{_home_words(home)}",
        )
    return RunFolder.open(folder)


def _home_words(home: Path) -> str:
    return "" if home == DEFAULT_HOME else f" --home {shlex.quote(str(home))}"


def _say(line: str) -> None:
    human.print(line, markup=False, soft_wrap=True)
