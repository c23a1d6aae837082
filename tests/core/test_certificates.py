from __future__ import annotations

import hashlib
import socket
import ssl
import stat
import subprocess
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from crisp_core.errors import RunStateError, UntrustedError, UsageError
from crisp_core.trust.certificates import (
    days_left,
    fingerprint,
    make_authority,
    make_server_certificate,
    names_in,
)
from crisp_core.trust.keys import make_signing_key, write_private

DAYS = 825


def made(folder, hosts=("fl.hospital.example", "10.9.8.7"), days=DAYS):
    """Write an authority and a server certificate; return their four paths."""
    names = ("authority.crt", "authority.key", "server.crt", "server.key")
    authority, authority_key, certificate, key = (folder / name for name in names)
    make_authority(authority, authority_key, "tiny", DAYS)
    make_server_certificate(authority, authority_key, certificate, key, hosts, days)
    return authority, authority_key, certificate, key


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return made(tmp_path_factory.mktemp("trust"))


@pytest.fixture(scope="module")
def port(files):
    """A TLS server that shakes hands with whoever comes and says "hello"."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[2], files[3])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=greet, args=(listener, context))
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def greet(listener, context):
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        plain.settimeout(5)
        try:
            with context.wrap_socket(plain, server_side=True) as secure:
                secure.sendall(b"hello")
        except OSError:
            plain.close()


def heard(port, authority, host):
    context = ssl.create_default_context(cafile=authority)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        return secure.recv(5)


@pytest.mark.parametrize(
    "host", ["fl.hospital.example", "FL.hospital.example", "10.9.8.7", "localhost", "127.0.0.1"]
)
def test_a_strict_handshake_succeeds_by_every_name(files, port, host):
    assert heard(port, files[0], host) == b"hello"


@pytest.mark.parametrize("host", ["other.hospital.example", "10.9.8.8", "hospital.example"])
def test_a_handshake_by_another_name_is_refused(files, port, host):
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        heard(port, files[0], host)


def test_a_handshake_that_trusts_another_authority_of_the_same_name_is_refused(port, tmp_path):
    make_authority(tmp_path / "a.crt", tmp_path / "a.key", "tiny", DAYS)

    with pytest.raises(ssl.SSLCertVerificationError):
        heard(port, tmp_path / "a.crt", "localhost")


def test_openssl_itself_finds_nothing_to_object_to(files):
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"]

    answer = subprocess.run(
        [*command, files[0], files[2]], check=False, capture_output=True, text=True
    )

    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_server_cannot_make_certificates_itself(files, tmp_path):
    forged = tmp_path / "forged.crt"
    make_server_certificate(files[2], files[3], forged, tmp_path / "forged.key", ["evil"], DAYS)
    chain = tmp_path / "chain.crt"
    chain.write_text(files[2].read_text())
    command = ["openssl", "verify", "-CAfile", files[0], "-untrusted", chain, forged]

    answer = subprocess.run(command, check=False, capture_output=True, text=True)

    assert answer.returncode != 0
    server = x509.load_pem_x509_certificate(files[2].read_bytes())
    constraints = server.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.value == x509.BasicConstraints(ca=False, path_length=None)


def test_the_names_are_the_hosts_and_this_machine_each_once(tmp_path):
    hosts = ["localhost", "zürich.example", "::1", "::1"]

    certificate = made(tmp_path, hosts)[2]

    names = ("localhost", "xn--zrich-kva.example", "::1", "127.0.0.1")
    assert names_in(certificate.read_text()) == names


def test_addresses_and_names_are_told_apart(files):
    certificate = x509.load_pem_x509_certificate(files[2].read_bytes())

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.DNSName) == ["fl.hospital.example", "localhost"]
    addresses = names.get_values_for_type(x509.IPAddress)
    assert [str(address) for address in addresses] == ["10.9.8.7", "127.0.0.1"]


@pytest.mark.parametrize(
    "host", ["", "fl.example:8443", "[::1]", "a b", "*.example", "x" * 64, "a..b", "https://a"]
)
def test_what_is_no_host_is_refused_before_anything_is_written(tmp_path, host):
    make_authority(tmp_path / "a.crt", tmp_path / "a.key", "tiny", DAYS)

    with pytest.raises(UsageError, match="a DNS name or an IP address"):
        make_server_certificate(
            tmp_path / "a.crt",
            tmp_path / "a.key",
            tmp_path / "s.crt",
            tmp_path / "s.key",
            [host],
            DAYS,
        )

    assert not (tmp_path / "s.key").exists()


def test_an_authority_has_no_names_and_signs_no_second_authority(files):
    authority = x509.load_pem_x509_certificate(files[0].read_bytes())

    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)

    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert names_in(files[0].read_text()) == ()


def test_a_federation_with_a_long_name_gets_an_authority(tmp_path):
    make_authority(tmp_path / "a.crt", tmp_path / "a.key", "n" * 64, DAYS)

    certificate = x509.load_pem_x509_certificate((tmp_path / "a.crt").read_bytes())
    assert len(certificate.subject.rfc4514_string()) == len("CN=") + 64


def test_a_certificate_holds_from_an_hour_ago_for_the_days_that_were_asked_for(files):
    now = datetime.now(UTC)

    certificate = x509.load_pem_x509_certificate(files[2].read_bytes())

    early = now - certificate.not_valid_before_utc
    assert timedelta(minutes=59) < early < timedelta(minutes=70)
    assert days_left(files[2].read_text(), now) == pytest.approx(DAYS, abs=0.01)
    assert days_left(files[2].read_text(), now + timedelta(days=DAYS + 1)) < 0


def test_a_server_certificate_does_not_outlive_its_authority(tmp_path):
    authority, _, certificate, _ = made(tmp_path, days=10 * DAYS)
    now = datetime.now(UTC)

    lives = [days_left(path.read_text(), now) for path in (authority, certificate)]

    assert lives[0] == lives[1]


def test_both_private_keys_are_their_owners_alone(files):
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (files[1], files[3])]

    assert modes == [0o600, 0o600]


def test_an_authority_that_is_there_is_never_written_over(files):
    before = files[0].read_bytes()

    with pytest.raises(RunStateError, match="File exists"):
        make_authority(files[0], files[1], "tiny", DAYS)

    assert files[0].read_bytes() == before


def test_a_fingerprint_is_the_sha256_of_the_der_bytes(files):
    pem = files[0].read_text()

    expected = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()

    assert fingerprint(pem) == expected == fingerprint("\n" + pem + "\n")


def test_a_second_certificate_behind_the_pinned_one_is_refused(files, tmp_path):
    make_authority(tmp_path / "evil.crt", tmp_path / "evil.key", "evil", DAYS)
    pinned, evil = files[0].read_text(), (tmp_path / "evil.crt").read_text()
    trusted = evil.replace("CERTIFICATE", "TRUSTED CERTIFICATE")

    for text in (pinned + evil, evil + pinned, pinned + trusted, trusted + pinned):
        with pytest.raises(UntrustedError, match="one certificate"):
            fingerprint(text)


@pytest.mark.parametrize("text", ["", "garbage", "\ud800", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_is_no_certificate_is_untrusted(text):
    for question in (fingerprint, names_in, lambda pem: days_left(pem, datetime.now(UTC))):
        with pytest.raises(UntrustedError, match="one certificate"):
            question(text)


@pytest.mark.parametrize("wrong", ["other", "signing", "garbage", "absent"])
def test_nothing_is_signed_with_a_key_that_is_not_the_authoritys(tmp_path, files, wrong):
    other = tmp_path / "other"
    make_authority(tmp_path / "other.crt", other, "tiny", DAYS)
    make_signing_key(tmp_path / "signing")
    write_private(tmp_path / "garbage", b"garbage")
    server = (tmp_path / "s.crt", tmp_path / "s.key")

    with pytest.raises(UntrustedError):
        make_server_certificate(files[0], tmp_path / wrong, *server, [], DAYS)

    assert not server[1].exists()


def test_an_authority_whose_certificate_is_lost_is_named(tmp_path, files):
    missing = tmp_path / "authority.crt"

    with pytest.raises(UntrustedError, match=str(missing)):
        make_server_certificate(missing, files[1], tmp_path / "c", tmp_path / "k", [], DAYS)
