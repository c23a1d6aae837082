"""Why TLS with the coordinator does not hold: who answers instead, and what to do about it."""

from __future__ import annotations

import ssl
from datetime import datetime

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from crisp_client.connection.call import Address, Answer, Clock, ask
from crisp_client.connection.finding import Finding, error
from crisp_core.errors import UntrustedError
from crisp_core.schema.joining import AuthorityAnswer, AuthorityRequest
from crisp_core.trust.certificates import fingerprint, names_in

NOT_YET_VALID, EXPIRED = 9, 10
OTHER_NAMES = (62, 64)
"""OpenSSL's numbers for a certificate of another host name, and of another IP address."""
LONGEST_NAME = 80


def tls_trouble(failure: ssl.SSLError, address: Address, authority: str, now: Clock) -> Finding:
    """Name the cause of a TLS error.

    Args:
        failure: What Python raised with `authority` (PEM) as the only one that counts.
        address: Of the coordinator.
        authority: As pinned at this site.
        now: This machine's clock.
    """
    if not isinstance(failure, ssl.SSLCertVerificationError):
        return error(
            "tls",
            f"{address} does not answer in TLS ({failure.reason or 'the connection was closed'})",
            "Check the port; a firewall that resets TLS does this too",
        )
    seen = _unverified(address, now)
    certificate = _certificate(seen.certificate) if seen else None
    if seen is None or certificate is None:
        return error(
            "tls",
            f"the certificate at {address} cannot be verified ({failure.verify_message})",
            "Show this line to the coordinator",
        )
    if failure.verify_code in {NOT_YET_VALID, EXPIRED}:
        return _outside_its_time(certificate, now())
    if failure.verify_code in OTHER_NAMES:
        return _other_name(certificate, address)
    return _other_issuer(certificate, seen, address, authority)


def pem(certificate: bytes) -> str:
    """Return a certificate (DER) as PEM."""
    return x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM).decode()


def _unverified(address: Address, now: Clock) -> Answer | None:
    """Look at who answers, believing nothing."""
    try:
        return ask(address, AuthorityRequest(), None, now)
    except httpx.HTTPError:
        return None


def _certificate(der: bytes) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        return None


def _outside_its_time(certificate: x509.Certificate, now: datetime) -> Finding:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    subject, clock = "the coordinator's certificate", f"this clock says {now:%Y-%m-%d %H:%M} UTC"
    if now < begin:
        return error(
            "tls",
            f"{subject} is not valid before {begin:%Y-%m-%d %H:%M} UTC; {clock}",
            "If this clock is wrong, set up NTP (chrony); if not, tell the coordinator",
        )
    if now > end:
        return error(
            "tls",
            f"{subject} expired on {end:%Y-%m-%d %H:%M} UTC; {clock}",
            "If this clock is right, ask the coordinator to renew its certificate",
        )
    return error(
        "tls",
        f"the coordinator's authority is outside its own time; {clock}",
        "If this clock is right, ask the coordinator to provision anew, then join again",
    )


def _other_name(certificate: x509.Certificate, address: Address) -> Finding:
    names = ", ".join(names_in(certificate.public_bytes(Encoding.PEM).decode())) or "no name"
    return error(
        "tls",
        f"the coordinator's certificate is for {names}, not for {address.host}",
        f"Use one of these names, or ask for a certificate that names {address.host}",
    )


def _other_issuer(
    certificate: x509.Certificate, seen: Answer, address: Address, authority: str
) -> Finding:
    """Tell a TLS-intercepting proxy from another coordinator, and both from a stranger.

    Only the coordinator's own answer travels through a proxy unchanged: if it still shows the
    authority that is pinned here, somebody between opened the connection.
    """
    issuer, told = _issuer(certificate), _told_authority(seen)
    if told is None:
        return error(
            "tls",
            f"whoever answers at {address} shows a certificate by {issuer!r} and is no coordinator",
            f"Check the address; if it is right, have {address} exempted from TLS inspection",
        )
    if told == fingerprint(authority):
        return error(
            "tls",
            f"a TLS-intercepting proxy opens the connection: the certificate is by {issuer!r}, "
            "though the coordinator behind it is the right one",
            f"Ask the network team to exempt {address} from TLS inspection",
        )
    return error(
        "tls",
        f"the coordinator at {address} has another authority (SHA-256 {told[:16]}…) than the one "
        "that this site pinned",
        "If it was made anew, join with a new token and --home; if not, somebody poses as it",
    )


def _told_authority(seen: Answer) -> str | None:
    """Return the fingerprint of the authority in an unverified answer."""
    try:
        return fingerprint(AuthorityAnswer.model_validate_json(seen.body).authority)
    except (ValidationError, UntrustedError):
        return None


def _issuer(certificate: x509.Certificate) -> str:
    """Return the issuer's common name, or all of its name; it may hold anything."""
    common = certificate.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(common[0].value) if common else certificate.issuer.rfc4514_string()
    return text[:LONGEST_NAME]
