"""A firewall that opens TLS: it answers with a certificate of its own and reads along.

`python -m federation.tls_interceptor PORT TARGET:PORT NAME...` prints `ready`; each NAME (a host
name or an address) is in the certificate that its own authority signs at start.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from federation.hosts import Host

TESTS = Path(__file__).parents[1]
ISSUER = "Hospital Firewall Inspection CA"
PIECE_BYTES = 65_536


@contextmanager
def intercepted(host: Host, port: int, target: str, *names: str) -> Iterator[None]:
    """Let `host` open the TLS of everything that comes to its `port`."""
    words = ["-m", "federation.tls_interceptor", str(port), target, *names]
    process = host.start(
        "env", f"PYTHONPATH={TESTS}", sys.executable, *words,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


def certificate_files(folder: Path, names: Sequence[str]) -> tuple[Path, Path]:
    """Write a certificate for `names`, signed by `ISSUER`, and its key."""
    issuer_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _named(ISSUER)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_named(names[0]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        .sign(issuer_key, hashes.SHA256())
    )
    pem, private = folder / "firewall.crt", folder / "firewall.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem, private


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


async def _pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, ssl.SSLError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    writer.transport.abort()


async def main(port: str, target: str, *names: str) -> None:
    """Serve until killed."""
    host, _, target_port = target.rpartition(":")
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        front.load_cert_chain(*certificate_files(Path(folder), names))

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(target_port), ssl=blind)
        await asyncio.gather(_pumped(reader, far_writer), _pumped(far_reader, writer))

    server = await asyncio.start_server(carry, "0.0.0.0", int(port), ssl=front)  # noqa: S104 - the only interface of its host
    print("ready", flush=True)  # noqa: T201 - the protocol with the test
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
