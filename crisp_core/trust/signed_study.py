"""Studies that only the coordinator's owner can have written."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from crisp_core.errors import UntrustedError
from crisp_core.schema.signed_study import SignedStudy
from crisp_core.schema.study import Study
from crisp_core.trust.signature import is_signed, sign


def sign_study(key: Ed25519PrivateKey, study: Study) -> SignedStudy:
    """Sign the study's canonical text."""
    text = study.canonical()
    return SignedStudy(study=text, signature=sign(key, "study", text))


def read_signed(path: Path) -> SignedStudy:
    """Read a study with its signature, which is not looked at yet.

    Raises:
        UntrustedError: If there is no such file.
    """
    try:
        return SignedStudy.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        raise UntrustedError(
            expected="a study that a coordinator signed (JSON)",
            got="something else" if path.exists() else "no file",
            where=str(path),
            fix="Give the file in studies/ of this site's home; if that is damaged, join again",
        ) from None


def opened_study(signed: SignedStudy, coordinator_pem: str) -> Study:
    """Return the study if the coordinator signed this very text.

    What is parsed must write the same text again: nothing that was signed is left unread, and
    nothing is filled in that was not signed.

    Raises:
        UntrustedError: If it is unsigned, altered, signed by another key, or not understood.
    """
    if not is_signed(coordinator_pem, "study", signed.study, signed.signature):
        raise UntrustedError(
            expected="a study signed by the coordinator that this site joined",
            got="an unsigned or altered one, or another key's" if signed.signature else "none",
            where="the signature of the study",
            fix="Ask the coordinator why; nothing was run",
        )
    study = _parsed(signed.study)
    if study is None or study.canonical() != signed.study:
        raise UntrustedError(
            expected="a study that this version reads whole",
            got="keys or values that it does not know, or writes differently",
            where="the signed text of the study",
            fix="Install the version of crisp-fl that the coordinator runs",
        )
    return study


def _parsed(text: str) -> Study | None:
    try:
        return Study.model_validate_json(text)
    except ValidationError:
        return None
