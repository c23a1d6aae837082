"""Join tokens: what a hospital is handed, by any way it trusts, before its first connection.

A token says whom to call, by which fingerprint to know them, and one word that works once. It
holds no key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from types import MappingProxyType

from crisp_core.errors import UntrustedError

PREFIX = "crisp1."
LONGEST_TOKEN = 2000
_SHAPES: Mapping[str, str] = MappingProxyType(
    {
        "site": r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
        "address": r"(?:[\w.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\]):\d{1,5}",
        "fingerprint": r"[0-9a-f]{64}",
        "secret": r"[0-9a-f]{32}",
        "expires": r"\d{4}-\d\d-\d\dT[\d:.]{5,15}(?:Z|[+-]\d\d:\d\d)",
    }
)


@dataclass(frozen=True)
class JoinToken:
    """One invitation of one site."""

    site: str
    address: str
    """HOST:PORT of the coordinator."""
    fingerprint: str
    """SHA-256 of its authority's certificate (DER), hex."""
    secret: str = field(repr=False)
    """The word that works once: 16 random bytes, hex."""
    expires: datetime
    """With its zone."""

    def text(self) -> str:
        """Write the token as the one line that is handed over."""
        value = asdict(self) | {"expires": self.expires.isoformat()}
        packed = base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode())
        return PREFIX + packed.decode().rstrip("=")


def read_token(text: str, now: datetime) -> JoinToken:
    """Read a token; line breaks and blanks that a mail put into it do no harm.

    Raises:
        UntrustedError: If it is garbled or has expired.
    """
    try:
        token = _unpacked("".join(text.split()))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UntrustedError(
            expected=f"a join token, which begins with {PREFIX}",
            got="a text that cannot be read as one",
            where="the token",
            fix="Copy the whole token again, from its first to its last character",
        ) from None
    if now >= token.expires:
        raise UntrustedError(
            expected="a token that is still valid",
            got=f"one that ended {token.expires.isoformat(timespec='minutes')}",
            where=f"the token of {token.site}",
            fix=f"Ask the coordinator for a new one: crisp sites token {token.site}",
        )
    return token


def secret_hash(secret: str) -> str:
    """Return the SHA-256 of a token's secret: all that the coordinator keeps of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _unpacked(text: str) -> JoinToken:
    """Return the token in `text`, or raise ValueError, TypeError or KeyError."""
    packed = text.removeprefix(PREFIX)
    if packed == text or len(text) > LONGEST_TOKEN:
        raise ValueError(PREFIX)
    padded = packed + "=" * (-len(packed) % 4)
    value = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    for name, shape in _SHAPES.items():
        if not re.fullmatch(shape, value[name]):
            raise ValueError(name)
    return JoinToken(**{**value, "expires": datetime.fromisoformat(value["expires"])})
