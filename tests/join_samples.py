"""A coordinator's door over real TLS on 127.0.0.1, and everything that can stand before it."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from pydantic import TypeAdapter

from crisp_client.home import SiteHome
from crisp_core.schema.joining import (
    AuthorityAnswer,
    AuthorityRequest,
    JoinAnswer,
    JoinRequest,
    Refusal,
    Request,
    StandingAnswer,
    StandingRequest,
    standing_text,
)
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.study import SiteEntry, Study
from crisp_core.trust.certificates import fingerprint, make_authority, make_server_certificate
from crisp_core.trust.keys import load_signing_key, make_signing_key, public_pem
from crisp_core.trust.signature import is_signed
from crisp_core.trust.signed_study import sign_study
from crisp_core.trust.tokens import JoinToken

SECRET = "5" * 32
STUDY = Study(
    name="tiny",
    classes=("ring",),
    sites={"north": SiteEntry(role="source"), "south": SiteEntry(role="held-out")},
)


@dataclass
class Door:
    """A coordinator that a test can make answer anything; it admits whoever has the secret."""

    folder: Path
    authority_name: str = "test"
    days: int = 90
    refusal: tuple[int, str] | None = None
    state: str = "admitted"
    wrong: str = ""
    """Part of the answer to a join that does not fit."""
    ahead: timedelta = timedelta()
    """How far its clock is ahead."""
    joined: dict[str, JoinRequest] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir()
        make_authority(self.authority, self.folder / "ca.key", self.authority_name, self.days)
        make_signing_key(self.folder / "signing.pem")

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def certificate(self, *hosts: str, days: int = 60) -> tuple[Path, Path]:
        """Write a server certificate by this coordinator's authority."""
        pem, key = self.folder / "s.crt", self.folder / "s.key"
        make_server_certificate(self.authority, self.folder / "ca.key", pem, key, hosts, days)
        return pem, key

    def token(self, site: str = "north", hours: float = 1, **changes: str) -> str:
        values = {"address": self.address, "secret": SECRET, **changes}
        values.setdefault("fingerprint", fingerprint(self.authority.read_text()))
        expires = datetime.now(UTC) + timedelta(hours=hours)
        return JoinToken(site=site, expires=expires, **values).text()

    def answer(self, body: bytes) -> tuple[int, bytes]:
        request = TypeAdapter(Request).validate_json(body)
        self.asked.append(request.want)
        if self.refusal and not isinstance(request, AuthorityRequest):
            return self.refusal[0], Refusal(error=self.refusal[1]).model_dump_json().encode()
        return 200, self._yes(request).model_dump_json().encode()

    def _yes(self, request: object) -> object:
        key = load_signing_key(self.folder / "signing.pem")
        if isinstance(request, AuthorityRequest):
            return AuthorityAnswer(authority=self.authority.read_text())
        if isinstance(request, StandingRequest):
            return self._standing(request)
        assert isinstance(request, JoinRequest)
        assert request.secret == SECRET
        self.joined[request.site] = request
        return self._admission(request, key)

    def _admission(self, request: JoinRequest, key: Ed25519PrivateKey) -> JoinAnswer:
        others = {"west": SiteEntry(role="source")}
        study = STUDY.model_copy(update={"sites": others}) if self.wrong == "study" else STUDY
        signed = sign_study(key, study)
        if self.wrong == "signature":
            signed = signed.model_copy(update={"signature": "0" * 128})
        site = "west" if self.wrong == "site" else request.site
        return JoinAnswer(site=site, study=signed, coordinator_key=public_pem(key))

    def _standing(self, request: StandingRequest) -> StandingAnswer:
        known = self.joined.get(request.site)
        text = standing_text(request.site, request.time)
        ours = known and is_signed(known.signing_key, "standing", text, request.signature)
        state = self.state if ours else "unknown"
        return StandingAnswer(state=state, time=datetime.now(UTC).isoformat())


@contextmanager
def open_door(door: Door, *hosts: str, certificate: tuple[Path, Path] | None = None):
    """Serve a door over TLS until the block ends."""
    pem, key = certificate or door.certificate(*hosts)
    with serving(_handler(door), pem, key) as door.port:
        yield door


@contextmanager
def serving(
    handler: type[BaseHTTPRequestHandler], pem: Path | None, key: Path | None
) -> Iterator[int]:
    """Serve requests on a free port of 127.0.0.1, over TLS if there is a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if pem else None
    if context:
        context.load_cert_chain(pem, key)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request: socket.socket, client: object) -> None:
            if context:  # here, not at accept: one that stops in mid-handshake holds nobody up
                request = context.wrap_socket(request, server_side=True)
            with suppress(OSError), request:
                super().finish_request(request, client)

        def handle_error(self, *_: object) -> None:
            """Callers that distrust the certificate hang up."""

    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(door: Door) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_POST(self) -> None:
            status, body = door.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(datetime.now(UTC) + door.ahead, usegmt=True)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def a_page(words: bytes) -> type[BaseHTTPRequestHandler]:
    """Return a handler that knows one page, such as a proxy's own."""

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(words)

        def log_message(self, *_: object) -> None:
            pass

    return Page


@contextmanager
def connect_proxy(answer: Callable[[str], bytes | int]) -> Iterator[str]:
    """Serve CONNECT; `answer` says, for a target, which bytes to refuse with or which port to use.

    Yields the proxy's URL.
    """

    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            told = answer(self.path)
            if isinstance(told, bytes):
                self.wfile.write(b"HTTP/1.1 " + told + b"\r\nContent-Length: 0\r\n\r\n")
                return
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with socket.create_connection(("127.0.0.1", told)) as far:
                _pump_both(self.connection, far)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Proxy, None, None) as port:
        yield f"http://127.0.0.1:{port}"


def _pump_both(near: socket.socket, far: socket.socket) -> None:
    threads = [
        threading.Thread(target=_pump, args=ends, daemon=True)
        for ends in ((near, far), (far, near))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def interceptor(door: Door, folder: Path, issuer: str) -> Iterator[int]:
    """Open TLS before a door: answer with a certificate by `issuer`, pass on what is said."""
    folder.mkdir()
    make_authority(folder / "ca.crt", folder / "ca.key", issuer, days=9)
    pem, key = folder / "s.crt", folder / "s.key"
    make_server_certificate(folder / "ca.crt", folder / "ca.key", pem, key, ["127.0.0.1"], days=9)
    with serving(_handler(door), pem, key) as port:
        yield port


def certificate_of_another_time(door: Door, begin_days: int, end_days: int) -> tuple[Path, Path]:
    """Write a certificate by the door's authority that holds from and to these days from now."""
    authority = x509.load_pem_x509_certificate(door.authority.read_bytes())
    signer = load_pem_private_key((door.folder / "ca.key").read_bytes(), None)
    key, now = generate_private_key(SECP256R1()), datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "coordinator")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begin_days))
        .not_valid_after(now + timedelta(days=end_days))
        .add_extension(x509.SubjectAlternativeName([_address("127.0.0.1")]), critical=False)
        .sign(signer, SHA256())
    )
    pem, private = door.folder / "t.crt", door.folder / "t.key"
    pem.write_bytes(built.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pem, private


def _address(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_address(text))


@contextmanager
def full_listener() -> Iterator[int]:
    """Hold a port whose queue is full: packets to it get no answer, as behind a firewall."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(("127.0.0.1", port))
        try:
            yield port
        finally:
            for one in waiting:
                one.close()


@contextmanager
def silent_listener() -> Iterator[int]:
    """Take connections and never say a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    """Return a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def member(door: Door, folder: Path, address: str | None = None) -> tuple[SiteSettings, SiteHome]:
    """Make the home of a site that the door knows, with just what a probe needs."""
    home = SiteHome(folder)
    home.authority.parent.mkdir(parents=True)
    home.authority.write_bytes(door.authority.read_bytes())
    signing_key = make_signing_key(home.signing_key)
    door.joined["north"] = JoinRequest(
        site="north", secret=SECRET, node_key="", signing_key=signing_key
    )
    return (
        SiteSettings(
            site="north",
            data=(),
            work=str(folder),
            pseudonym_key="k",
            coordinator=address or door.address,
        ),
        home,
    )


def levels(findings: Sequence[object]) -> list[tuple[str, str]]:
    return [(finding.what, finding.level) for finding in findings]
