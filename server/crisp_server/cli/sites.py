"""`crisp sites`: who may take part."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from crisp_server.cli.app import JsonOption, app, human, told
from crisp_server.cli.coordinator import DEFAULT_HOME, HomeOption, tell_invitation
from crisp_server.home import CoordinatorHome

sites = typer.Typer(no_args_is_help=True, help="Say who may take part in the federation.")
app.add_typer(sites, name="sites")
SiteName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the site in the study.")]


@sites.command("list")
def list_sites(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the sites: invited, admitted or revoked, and the ids of their keys.

    Example: crisp sites list
    """
    with told():
        from crisp_core.trust.keys import key_id
        from crisp_server.roster import Roster

        entries = Roster.load(CoordinatorHome(home).roster).entries
        if as_json:
            kept = {"site", "state", "node_key", "signing_key", "node_id"}
            typer.echo(json.dumps([entry.model_dump(include=kept) for entry in entries]))
            return
        for entry in entries:
            keys = f", signing key {key_id(entry.signing_key)}" if entry.signing_key else ""
            typer.echo(f"{entry.site}: {entry.state}{keys}")


@sites.command()
def token(name: SiteName, home: HomeOption = DEFAULT_HOME) -> None:
    """Make a new join token; the site's older one is worth nothing from now on.

    Example: crisp sites token north
    """
    with told():
        from crisp_server.deployment.invitations import invite

        tell_invitation(invite(CoordinatorHome(home), name))


@sites.command()
def revoke(name: SiteName, home: HomeOption = DEFAULT_HOME) -> None:
    """Shut a site out at once: its keys are refused from now on, for good.

    Example: crisp sites revoke north
    """
    with told():
        from crisp_server.deployment.invitations import shut_out

        shut_out(CoordinatorHome(home), name)
        human.print(f"{name} is revoked; `crisp up` acts on it within a second or two.")


@sites.command()
def admit(name: SiteName, home: HomeOption = DEFAULT_HOME) -> None:
    """Let a revoked site come back: with a new token, and new keys that it makes.

    Example: crisp sites admit north
    """
    with told():
        from crisp_server.deployment.invitations import let_in

        tell_invitation(let_in(CoordinatorHome(home), name))
