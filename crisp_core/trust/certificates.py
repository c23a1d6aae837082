"""A federation's own certificate authority and the coordinator's server certificate.

Hospitals pin the authority when they join: its SHA-256 fingerprint is in their token.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from crisp_core.errors import UntrustedError, UsageError
from crisp_core.trust.keys import read_private, write_private

LONGEST_COMMON_NAME = 64
CLOCK_ALLOWANCE = timedelta(hours=1)
"""A certificate holds from a little before it was made: clocks differ."""
ALWAYS = ("localhost", "127.0.0.1")
_DNS_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


def make_authority(certificate: Path, key: Path, name: str, days: int) -> None:
    """Write a new authority: its certificate, and its private key (0600).

    Raises:
        RunStateError: If there is a key already, or a file cannot be written.
    """
    private = _new_key(key)
    common_name = f"{name} authority"[:LONGEST_COMMON_NAME]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    built = (
        _builder(subject, subject, private.public_key(), _after(days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(private, SHA256())
    )
    certificate.write_bytes(built.public_bytes(Encoding.PEM))


def make_server_certificate(
    authority: Path,
    authority_key: Path,
    certificate: Path,
    key: Path,
    hosts: Sequence[str],
    days: int,
) -> None:
    """Write a server certificate for `hosts` (DNS names and IP addresses) and this machine.

    It does not outlive the authority.

    Raises:
        UsageError: If a host is neither a DNS name nor an IP address.
        RunStateError: If there is a key already, or a file cannot be written.
        UntrustedError: If the authority's files cannot be read or are not its own.
    """
    names = x509.SubjectAlternativeName([_name(host) for host in dict.fromkeys([*hosts, *ALWAYS])])
    issuer, issuer_key = _authority(authority, authority_key)
    private = _new_key(key)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crisp coordinator")])
    last = min(_after(days), issuer.not_valid_after_utc)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    built = (
        _builder(subject, issuer.subject, private.public_key(), last)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(issuer_key, SHA256())
    )
    certificate.write_bytes(built.public_bytes(Encoding.PEM))


def read_certificate(path: Path) -> str:
    """Return the text (PEM) of a certificate's file.

    Raises:
        UntrustedError: If it is absent or holds anything but one certificate.
    """
    text = _text(path)
    _certificate(text, str(path))
    return text


def fingerprint(certificate_pem: str) -> str:
    """Return the SHA-256 of the certificate's DER bytes, in hex.

    Raises:
        UntrustedError: If the text is not one certificate and nothing else: what is pinned is
            later trusted whole, so a second one behind the first would be trusted too.
    """
    return _certificate(certificate_pem).fingerprint(SHA256()).hex()


def names_in(certificate_pem: str) -> tuple[str, ...]:
    """Return the DNS names and IP addresses that the certificate holds for.

    Raises:
        UntrustedError: If the text is not one certificate.
    """
    extensions = _certificate(certificate_pem).extensions
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in names)


def days_left(certificate_pem: str, now: datetime) -> float:
    """Return the days until the certificate ends; negative if it has.

    Raises:
        UntrustedError: If the text is not one certificate.
    """
    return (_certificate(certificate_pem).not_valid_after_utc - now) / timedelta(days=1)


def _certificate(text: str, where: str = "the certificate") -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
        if certificate.public_bytes(Encoding.PEM).decode().strip() == text.strip():
            return certificate
    except ValueError:
        pass
    raise UntrustedError(
        expected="one certificate (PEM) and nothing else",
        got="another text",
        where=where,
        fix="Take it from the coordinator again, or restore it from a backup",
    )


def _authority(certificate: Path, key: Path) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    issuer = _certificate(_text(certificate), str(certificate))
    try:
        private = load_pem_private_key(read_private(key), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, EllipticCurvePrivateKey) or (
        private.public_key() != issuer.public_key()
    ):
        raise UntrustedError(
            expected=f"the private key (PEM) that belongs to {certificate}",
            got="another key or none",
            where=str(key),
            fix="Restore the file from a backup",
        )
    return issuer, private


def _text(path: Path) -> str:
    """Return the file's text; a file that cannot be read is like one without a certificate."""
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


def _new_key(path: Path) -> EllipticCurvePrivateKey:
    key = generate_private_key(SECP256R1())
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def _after(days: int) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePublicKey, last: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - CLOCK_ALLOWANCE)
        .not_valid_after(last)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        name = host.encode("idna").decode()
    except UnicodeError:
        name = ""
    if not _DNS_NAME.fullmatch(name):
        raise UsageError(
            expected="a DNS name or an IP address",
            got=repr(host),
            where="the address of the coordinator",
            fix="Give the name that hospitals will connect to, like fl.hospital.example",
        )
    return x509.DNSName(name)
