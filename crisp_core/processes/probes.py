"""Liveness and readiness over HTTP on this machine only."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_REQUEST_TIMEOUT_S = 5


@dataclass(frozen=True)
class Standing:
    """Whether the processes run (`live`), whether they can serve (`ready`), and why."""

    live: bool
    ready: bool
    facts: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def probes(port: int, standing: Callable[[], Standing]) -> Iterator[int]:
    """Answer `GET /live` and `GET /ready` on 127.0.0.1 with 200 or 503 and the facts as JSON.

    Args:
        port: The port, 0 for any free one.
        standing: Asked anew at each request, from other threads.

    Yields:
        The port that is listened on.
    """
    server = ThreadingHTTPServer(("127.0.0.1", port), _answering(standing))
    thread = threading.Thread(target=server.serve_forever, name="probes", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answering(standing: Callable[[], Standing]) -> type[BaseHTTPRequestHandler]:
    class Probe(BaseHTTPRequestHandler):
        """Answers two questions and is silent about who asks."""

        timeout = _REQUEST_TIMEOUT_S

        def do_GET(self) -> None:
            now = standing()
            good = {"/live": now.live, "/ready": now.ready}.get(self.path)
            if good is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            body = json.dumps({self.path[1:]: good, **now.facts}).encode()
            self.send_response(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: whatever watches us asks every few seconds."""

    return Probe
