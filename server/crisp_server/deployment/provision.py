"""Make the coordinator's folder: authority, certificate, signing key, roster and join tokens."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from crisp_core.errors import CrispError, RunStateError, StudyError, UsageError
from crisp_core.files.atomic import TEMPORARY, write_text
from crisp_core.schema.study import Study
from crisp_core.trust.certificates import make_authority, make_server_certificate
from crisp_core.trust.keys import make_signing_key
from crisp_server.deployment.invitations import Invitation, invite
from crisp_server.deployment.settings import (
    LONGEST_TOKEN_HOURS,
    CoordinatorSettings,
    load_settings,
    place,
    split_address,
)
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster, RosterEntry
from crisp_server.simulation.processes import listening

AUTHORITY_DAYS = 3650
_LOCAL_PORTS = range(20_000, 32_000)
_ODD_IN_NGINX = re.compile(r'["$\\\n]')


def provision(
    home: CoordinatorHome, study: Study, address: str, *, token_hours: float, days: int
) -> tuple[Invitation, ...]:
    """Make a home that holds everything a coordinator needs, and return one invitation a site.

    The home appears whole, in one move: a kill leaves nothing that looks like one, and an existing
    home is never written to.

    Args:
        home: Where; absent or an empty folder.
        study: What the federation will run; the places of its data are the hospitals' affair.
        address: HOST[:PORT] by which hospitals reach this machine.
        token_hours: Hours that the join tokens live.
        days: Days that the server's certificate holds.

    Raises:
        RunStateError: If there is something at the place of the home, or it cannot be written.
        StudyError: If the study's method is not one for several hospitals.
        UsageError: If the address or the home's path cannot be used.
    """
    _insist_on_several_hospitals(study)
    _insist_on_free(home.path)
    _insist_on_hours(token_hours)
    host, port = split_address(address)
    settings = CoordinatorSettings(
        address=place(host, port),
        bind="::" if ":" in host else "0.0.0.0",  # noqa: S104 - the one port that is meant to be reached
        port=port,
        superlink_port=(superlink_port := _quiet_port({port})),
        join_port=_quiet_port({port, superlink_port}),
        token_hours=token_hours,
    )
    half = CoordinatorHome(home.path.with_name(f".{home.path.name}{TEMPORARY}"))
    try:
        _fill(half, study, settings, days)
        made = [invite(half, site) for site in (*study.sources, *study.held_out)]
        half.path.replace(home.path)
    except OSError as error:
        raise _unwritable(home.path, error) from None
    finally:
        shutil.rmtree(half.path, ignore_errors=True)
    return tuple(replace(one, file=home.tokens / one.file.name) for one in made)


def renew_certificate(home: CoordinatorHome, days: int) -> None:
    """Replace the server's certificate and key; hospitals, who trust the authority, notice nothing.

    The host is taken from the settings, so this also follows a change of address.
    """
    settings = load_settings(home.settings)
    new = CoordinatorHome(home.path / f".renewed{TEMPORARY}")
    shutil.rmtree(new.path, ignore_errors=True)
    try:
        new.certificate.parent.mkdir(parents=True, mode=0o700)
        _certify(home, new, settings.host, days)
        new.certificate_key.replace(home.certificate_key)
        new.certificate.replace(home.certificate)
    except OSError as error:
        raise _unwritable(home.path, error) from None
    finally:
        shutil.rmtree(new.path, ignore_errors=True)


def _certify(authority: CoordinatorHome, target: CoordinatorHome, host: str, days: int) -> None:
    make_server_certificate(
        authority.authority,
        authority.authority_key,
        target.certificate,
        target.certificate_key,
        [host],
        days,
    )


def _fill(half: CoordinatorHome, study: Study, settings: CoordinatorSettings, days: int) -> None:
    """Write everything but the tokens into a folder that is not yet the home."""
    shutil.rmtree(half.path, ignore_errors=True)
    half.path.mkdir(parents=True, mode=0o700)
    for folder in (half.authority.parent, half.tokens, half.runs, half.flower, half.logs):
        folder.mkdir(mode=0o700)
    make_authority(half.authority, half.authority_key, study.name, AUTHORITY_DAYS)
    _certify(half, half, settings.host, days)
    make_signing_key(half.signing_key)
    sites = {name: site.model_copy(update={"data": ()}) for name, site in study.sites.items()}
    kept = study.model_copy(update={"sites": sites})
    write_text(half.study, kept.model_dump_json(indent=1))
    names = (*study.sources, *study.held_out)
    Roster(entries=tuple(RosterEntry(site=name) for name in names)).save(half.roster)
    write_text(half.settings, settings.text())


def _quiet_port(taken: Collection[int]) -> int:
    """Return a port that nobody listens on, below those that outgoing connections take."""
    while (port := secrets.choice(_LOCAL_PORTS)) in taken or listening(port):
        pass
    return port


def _insist_on_hours(hours: float) -> None:
    if not 0 < hours <= LONGEST_TOKEN_HOURS:  # a nan is not
        raise UsageError(
            expected=f"at most {LONGEST_TOKEN_HOURS:g} hours, a year",
            got=f"{hours:g}",
            where="--token-hours",
            fix="A token is for a day or a few; new ones: crisp sites token NAME",
        )


def _insist_on_several_hospitals(study: Study) -> None:
    if study.method in ("local", "pooled"):
        raise StudyError(
            expected="a method for several hospitals",
            got=f"{study.method!r}, which needs all data in one place",
            where="method",
            fix="Compare with it on one machine: crisp simulate",
        )


def _insist_on_free(path: Path) -> None:
    if _ODD_IN_NGINX.search(str(path.resolve())):
        raise UsageError(
            expected="a folder that nginx can be told of",
            got="one with a quote, a dollar sign or a backslash in its path",
            where=str(path),
            fix="Name another with --home",
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunStateError(
            expected="no such folder, or an empty one",
            got="one with something in it: keys are never overwritten",
            where=str(path),
            fix="Name another with --home; new tokens for this one: crisp sites token NAME",
        )


def _unwritable(path: Path, error: OSError) -> CrispError:
    return RunStateError(
        expected="a folder that can be written",
        got=error.strerror or "an error of the disk",
        where=str(path),
        fix="Free space, mend the rights, or name another folder with --home",
    )
