"""What a hospital and a coordinator say to each other at `POST /v1/join`, in JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from crisp_core.schema.frozen import Frozen
from crisp_core.schema.signed_study import SignedStudy
from crisp_core.schema.study import Name

JOIN_PATH = "/v1/join"
LARGEST_REQUEST_BYTES = 65_536
KeyText = Annotated[str, Field(max_length=1000)]
Time = Annotated[str, Field(max_length=40)]
"""ISO 8601 with its zone."""


class AuthorityRequest(Frozen):
    """Asked before anything is trusted: the answer counts by its fingerprint alone."""

    want: Literal["authority"] = "authority"


class JoinRequest(Frozen):
    """A token's one-time word, and the public halves of the keys that the site made."""

    want: Literal["join"] = "join"
    site: Name
    secret: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", repr=False)]
    node_key: KeyText
    """OpenSSH line, EC P-384."""
    signing_key: KeyText
    """PEM, Ed25519."""


class StandingRequest(Frozen):
    """Does the coordinator (still) know this site?"""

    want: Literal["standing"] = "standing"
    site: Name
    time: Time
    signature: Annotated[str, Field(max_length=128)]
    """Ed25519 of the site over the context "standing" and `standing_text`, hex."""


Request = Annotated[AuthorityRequest | JoinRequest | StandingRequest, Field(discriminator="want")]


class AuthorityAnswer(Frozen):
    """The coordinator's own certificate authority (PEM)."""

    authority: Annotated[str, Field(max_length=20_000)]


class JoinAnswer(Frozen):
    """What a site that has joined needs to know."""

    site: Name
    study: SignedStudy
    coordinator_key: KeyText
    """PEM, Ed25519: signs studies and countersigns records."""
    app: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """SHA-256 of the manifest that Flower distributes; empty if there is none yet."""


class StandingAnswer(Frozen):
    """How the coordinator sees the site now; `unknown` also where the signature is not its own."""

    state: Literal["admitted", "revoked", "unknown"]
    study: SignedStudy | None = None
    time: Time
    """The coordinator's clock."""


class Refusal(Frozen):
    """The body of every answer that is not 200."""

    error: Annotated[str, Field(max_length=2000)]


def standing_text(site: str, time: str) -> str:
    """Return the text that a site signs to ask for its standing."""
    return f"{site} {time}"
