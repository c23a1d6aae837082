"""Ed25519 signatures over a text and what it is meant as.

The context is signed with the text: a site's signature under a record can never be passed off as
one under anything else.
"""

from __future__ import annotations

import re
from typing import Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

Context = Literal["study", "record", "receipt", "standing"]
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


def sign(key: Ed25519PrivateKey, context: Context, text: str) -> str:
    """Return the signature in hex: the same text and key give the same one."""
    return key.sign(_meant(context, text)).hex()


def is_signed(public_pem_text: str, context: Context, text: str, signature: str) -> bool:
    """Say whether `signature` was made over this text, in this context, by this key's owner.

    Anything that is no key, no signature or no text gives False: all of it may come from outside.
    """
    if _SIGNATURE.fullmatch(signature) is None:  # bytes.fromhex takes blanks and capitals too
        return False
    try:
        key = load_pem_public_key(public_pem_text.encode())
        if not isinstance(key, Ed25519PublicKey):
            return False
        key.verify(bytes.fromhex(signature), _meant(context, text))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _meant(context: Context, text: str) -> bytes:
    return f"crisp:{context}\n{text}".encode()
