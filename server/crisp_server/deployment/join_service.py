"""`POST /v1/join`: a token and two public keys come in, a signed study goes out.

It listens on loopback behind nginx, which limits how often one address may ask.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import TypeAdapter, ValidationError

from crisp_core.errors import CrispError, UntrustedError
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.joining import (
    JOIN_PATH,
    LARGEST_REQUEST_BYTES,
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
from crisp_core.schema.signed_study import SignedStudy
from crisp_core.trust.certificates import read_certificate
from crisp_core.trust.keys import load_signing_key, public_pem
from crisp_core.trust.signature import is_signed
from crisp_core.trust.signed_study import sign_study
from crisp_server.deployment.control import app_hash, node_key
from crisp_server.deployment.invitations import RefusedError, admitted
from crisp_server.deployment.settings import study_of
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster, change_roster

REFUSAL_PAUSE_S = 0.5
_REQUEST: TypeAdapter[AuthorityRequest | JoinRequest | StandingRequest] = TypeAdapter(Request)
_UNABLE = Refusal(error="The coordinator cannot answer now. Try again, or call it.")
REQUEST_TIMEOUT_S = 10


class JoinService:
    """Answers the requests of sites from the coordinator's home."""

    def __init__(self, home: CoordinatorHome, on_joined: Callable[[], object]) -> None:
        """Read what every answer needs.

        Args:
            home: The coordinator's folder.
            on_joined: Called when a site's keys have been admitted.
        """
        self._home, self._on_joined = home, on_joined
        key = load_signing_key(home.signing_key)
        self._coordinator_key = public_pem(key)
        self._study: SignedStudy = sign_study(key, study_of(home))
        self._app = app_hash()

    def answer(self, request: AuthorityRequest | JoinRequest | StandingRequest) -> Frozen:
        """Answer one request.

        Raises:
            RefusedError: If the answer is no.
        """
        if isinstance(request, AuthorityRequest):
            return AuthorityAnswer(authority=read_certificate(self._home.authority))
        if isinstance(request, StandingRequest):
            return self._standing(request)
        return self._joined(request)

    def _joined(self, request: JoinRequest) -> JoinAnswer:
        _check_keys(request)
        now = datetime.now(UTC)
        change_roster(self._home.roster, lambda roster: admitted(roster, request, now))
        self._on_joined()
        return JoinAnswer(
            site=request.site,
            study=self._study,
            coordinator_key=self._coordinator_key,
            app=self._app,
        )

    def _standing(self, request: StandingRequest) -> StandingAnswer:
        """Say how a site stands, to that site only: nobody else learns who takes part.

        The time is not judged: a site whose clock is wrong is told the right one.
        """
        entries = {entry.site: entry for entry in Roster.load(self._home.roster).entries}
        entry = entries.get(request.site)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        if (
            entry is None
            or entry.state == "invited"
            or not is_signed(
                entry.signing_key,
                "standing",
                standing_text(request.site, request.time),
                request.signature,
            )
        ):
            return StandingAnswer(state="unknown", study=None, time=now)
        study = self._study if entry.state == "admitted" else None
        return StandingAnswer(state=entry.state, study=study, time=now)


def _check_keys(request: JoinRequest) -> None:
    try:
        node_key(request.node_key)
        signing_key = load_pem_public_key(request.signing_key.encode())
    except (UntrustedError, ValueError, UnsupportedAlgorithm):
        signing_key = None
    if not isinstance(signing_key, Ed25519PublicKey):
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, "Expected a public EC P-384 and a public Ed25519 key."
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, service: JoinService, on_line: Callable[[str], None]) -> None:
        self.service, self.on_line = service, on_line
        super().__init__(("127.0.0.1", port), _Door)


class _Door(BaseHTTPRequestHandler):
    """Reads one request, writes one answer, and logs neither."""

    server: _Server
    timeout = REQUEST_TIMEOUT_S

    def do_POST(self) -> None:
        """Answer a request; a no comes late, so that guessing is slow."""
        try:
            status, body = HTTPStatus.OK, self.server.service.answer(self._request())
        except RefusedError as refusal:
            time.sleep(REFUSAL_PAUSE_S)
            status, body = refusal.status, Refusal(error=refusal.sentence)
            self.server.on_line(f"join refused ({status}): {refusal.sentence}")
        except CrispError as error:
            status, body = HTTPStatus.SERVICE_UNAVAILABLE, _UNABLE
            self.server.on_line(f"join not answered: {error}")
        self._say(status, body.model_dump_json().encode())

    def _request(self) -> AuthorityRequest | JoinRequest | StandingRequest:
        size = self.headers.get("Content-Length", "")
        if self.path != JOIN_PATH or not size.isdecimal():
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"Expected JSON at {JOIN_PATH}.")
        if int(size) > LARGEST_REQUEST_BYTES:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Expected a shorter request.")
        try:
            return _REQUEST.validate_json(self.rfile.read(int(size)))
        except ValidationError:
            sentence = "Expected a request of this version of crisp-client."
            raise RefusedError(HTTPStatus.BAD_REQUEST, sentence) from None

    def _say(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep tokens and keys out of every log."""


@contextmanager
def serving(service: JoinService, port: int, on_line: Callable[[str], None]) -> Iterator[None]:
    """Answer on 127.0.0.1:`port` from threads until the block ends.

    Raises:
        OSError: If the port is taken.
    """
    server = _Server(port, service, on_line)
    thread = threading.Thread(target=server.serve_forever, name="join", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
