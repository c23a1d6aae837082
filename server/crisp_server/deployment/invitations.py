"""Who is invited, let in and shut out: tokens made and used, roster in, roster out."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

from crisp_core.errors import UsageError
from crisp_core.schema.joining import JoinRequest
from crisp_core.trust.certificates import fingerprint, read_certificate
from crisp_core.trust.keys import write_private
from crisp_core.trust.tokens import JoinToken, secret_hash
from crisp_server.deployment.settings import load_settings
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster, RosterEntry, change_roster

SECRET_BYTES = 16
_UNKNOWN_TOKEN = (
    HTTPStatus.FORBIDDEN,
    "This token is not known here. Ask the coordinator for a new one (crisp sites token NAME).",
)


@dataclass(frozen=True)
class Invitation:
    """A site and the token that is to be handed to it."""

    site: str
    file: Path
    token: JoinToken


class RefusedError(Exception):
    """An answer that is no; its sentence goes to whoever asked."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


def invite(home: CoordinatorHome, site: str) -> Invitation:
    """Make a new token for a site; the one before it is worth nothing from now on.

    An admitted site stays admitted: its keys are replaced when the new token is used.

    Raises:
        UsageError: If the study has no such site, or it is revoked.
    """
    settings = load_settings(home.settings)
    expires = datetime.now(UTC) + timedelta(hours=settings.token_hours)
    token = JoinToken(
        site=site,
        address=settings.address,
        fingerprint=fingerprint(read_certificate(home.authority)),
        secret=secrets.token_hex(SECRET_BYTES),
        expires=expires.replace(microsecond=0),
    )

    def invited(roster: Roster) -> Roster:
        entry = roster.entry(site)
        if entry.state == "revoked":
            raise UsageError(
                expected="a site that may take part",
                got="a revoked one",
                where=site,
                fix=f"Let it back in first: crisp sites admit {site}",
            )
        changes = {
            "token_hash": secret_hash(token.secret),
            "token_expires": token.expires.isoformat(),
            "token_used": False,
        }
        return roster.replaced(entry.model_copy(update=changes))

    change_roster(home.roster, invited)
    file = home.tokens / f"{site}.token"
    file.unlink(missing_ok=True)
    write_private(file, f"{token.text()}\n".encode())
    return Invitation(site, file, token)


def shut_out(home: CoordinatorHome, site: str) -> None:
    """Revoke a site: its keys and its token are worth nothing from now on.

    Raises:
        UsageError: If the study has no such site.
    """
    changes = {"state": "revoked", "token_hash": "", "token_expires": "", "node_id": None}
    _change(home, site, changes)
    (home.tokens / f"{site}.token").unlink(missing_ok=True)


def let_in(home: CoordinatorHome, site: str) -> Invitation:
    """Let a site come back after it was revoked, with a new token and keys that it makes anew.

    Raises:
        UsageError: If the study has no such site, or it is not revoked.
    """
    if (state := Roster.load(home.roster).entry(site).state) != "revoked":
        raise UsageError(
            expected="a revoked site",
            got=f"one that is {state}",
            where=site,
            fix=f"A site that has not joined needs its token: crisp sites token {site}",
        )
    _change(home, site, {"state": "invited"})
    return invite(home, site)


def _change(home: CoordinatorHome, site: str, changes: Mapping[str, object]) -> None:
    change_roster(
        home.roster,
        lambda roster: roster.replaced(roster.entry(site).model_copy(update=changes)),
    )


def admitted(roster: Roster, request: JoinRequest, now: datetime) -> Roster:
    """Return the roster with this site's keys, if its token is good.

    A token works once. The same keys may ask again while it lives, and nothing changes: the answer
    to the first time may have been lost.

    Raises:
        RefusedError: 403 for a wrong token, 410 for one that has expired, 409 for one that was
            used with other keys, or keys that were used before.
    """
    entry = next((entry for entry in roster.entries if entry.site == request.site), None)
    known = entry.token_hash if entry else ""
    right = hmac.compare_digest(secret_hash(request.secret).encode(), known.encode())
    if entry is None or not right:
        raise RefusedError(*_UNKNOWN_TOKEN)
    if now >= datetime.fromisoformat(entry.token_expires):
        raise RefusedError(
            HTTPStatus.GONE,
            "This token has expired. Ask the coordinator for a new one: "
            f"crisp sites token {entry.site}.",
        )
    same = (entry.node_key, entry.signing_key) == (request.node_key, request.signing_key)
    if entry.token_used and same:
        return roster
    if entry.token_used:
        raise RefusedError(
            HTTPStatus.CONFLICT,
            "This token was used before, with other keys. If that was not you, tell the "
            f"coordinator at once; a new token: crisp sites token {entry.site}.",
        )
    _insist_on_fresh_keys(roster, entry, request)
    replaced = {entry.node_key, entry.signing_key} - {request.node_key, request.signing_key, ""}
    changes = {
        "state": "admitted",
        "token_used": True,
        "former_keys": (*entry.former_keys, *sorted(replaced)),
        "node_key": request.node_key,
        "signing_key": request.signing_key,
        "node_id": None,
    }
    return roster.replaced(entry.model_copy(update=changes))


def _insist_on_fresh_keys(roster: Roster, entry: RosterEntry, request: JoinRequest) -> None:
    """Refuse keys of another site, and those that this site lost its place with."""
    taken = [key for other in roster.entries for key in other.former_keys]
    taken += [
        key
        for other in roster.entries
        if other.site != entry.site or entry.state == "invited"
        for key in (other.node_key, other.signing_key)
    ]
    if {request.node_key, request.signing_key} & set(taken):
        raise RefusedError(
            HTTPStatus.CONFLICT,
            "These keys were used here before. Join with another --home, which makes new ones.",
        )
