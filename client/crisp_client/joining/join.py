"""Join a federation: make keys here, show their public halves once, keep what is to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

from crisp_client.connection import Clock, utc_now
from crisp_client.home import SiteHome
from crisp_client.joining.admission import admission, authority_of, checked_study
from crisp_client.joining.place import (
    JOIN_LOCK,
    insist_on_folders,
    insist_on_same_coordinator,
    kept,
    make_folders,
    node_key,
    settings_of,
    signing_key,
)
from crisp_core.errors import UsageError
from crisp_core.processes.lock import only_one
from crisp_core.schema.joining import JoinRequest
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.study import Study
from crisp_core.trust.tokens import PREFIX, read_token

LARGEST_TOKEN_FILE_BYTES = 10_000
LONGEST_NAME = 80


@dataclass(frozen=True)
class JoinResult:
    """A site that has joined."""

    settings: SiteSettings
    study: Study
    study_file: Path
    """The signed study, as `crisp-client approve` reads it."""


def join(
    token_text: str,
    home: SiteHome,
    data: Sequence[Path],
    *,
    device: str = "auto",
    now: Clock = utc_now,
) -> JoinResult:
    """Join the federation that a token invites to.

    Whatever stops it, the same command goes on: keys that were made are kept, and the coordinator
    gives the same keys the same answer while the token lives.

    Args:
        token_text: The token, or the path of a file that holds it.
        home: The site's folder, made if absent.
        data: Folders with this site's images.
        device: Where the site computes.
        now: This machine's clock.

    Raises:
        UntrustedError: If the token is expired, garbled or used, or who answers is not who it
            names.
        ConnectionFailedError: If the coordinator cannot be reached, with the cause.
        UsageError: If there is no such token, device or data folder, or the home belongs to
            another site.
        RunStateError: If the home cannot be written.
    """
    token = read_token(_token(token_text), now())
    insist_on_folders(data)
    make_folders(home)
    with only_one(home.running / JOIN_LOCK, "join of this home"):
        insist_on_same_coordinator(home, token)
        authority = authority_of(token, now)
        settings = settings_of(home, token, data, device)
        request = JoinRequest(
            site=token.site,
            secret=token.secret,
            node_key=node_key(home.node_key),
            signing_key=signing_key(home.signing_key),
        )
        answer = admission(token, request, authority, now)
        study = checked_study(answer, token)
        return JoinResult(settings, study, kept(home, authority, answer, study))


def _token(text: str) -> str:
    """Return the token itself: `text`, or what is in the file of that name.

    Raises:
        UsageError: If it is neither.
    """
    if "".join(text.split()).startswith(PREFIX):
        return text
    try:
        with Path(text.strip()).open("rb") as file:
            return file.read(LARGEST_TOKEN_FILE_BYTES).decode(errors="replace")
    except (OSError, ValueError) as error:
        raise UsageError(
            expected=f"a join token, which begins with {PREFIX}, or a file that holds one",
            got=(getattr(error, "strerror", "") or "something else").lower(),
            where=shorten(text, LONGEST_NAME),
            fix="Give the file as the coordinator handed it over, or the whole token",
        ) from None
