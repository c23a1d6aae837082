from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from crisp_client.daemon.trouble import trouble_of
from crisp_core.trust.certificates import make_authority, make_server_certificate

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def trouble(url: str, *, cafile: Path | None = None, **options: object) -> str:
    context = ssl.create_default_context(cafile=cafile)
    with (
        httpx.Client(verify=context, timeout=1, trust_env=False, **options) as client,
        pytest.raises(httpx.HTTPError) as caught,
    ):
        client.post(url, content=b"").raise_for_status()
    return trouble_of(caught.value, NOW)


@contextmanager
def answering(status: int, body: bytes = b"", date: datetime = NOW) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", format_datetime(date, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/fleet/activate-node"
        server.shutdown()
        thread.join()


def test_a_name_that_nobody_knows_is_a_matter_of_dns() -> None:
    assert "check DNS" in trouble("https://coordinator.invalid")


def test_a_port_that_nobody_listens_at_is_down_or_wrong() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert "nothing listens" in trouble(f"https://127.0.0.1:{port}")


def test_silence_is_a_firewall_or_a_dead_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "no answer in time" in trouble(f"https://127.0.0.1:{silent.getsockname()[1]}")


def test_the_certificate_of_another_authority_is_named_as_that(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        make_authority(tmp_path / f"{name}.crt", tmp_path / f"{name}.key", name, days=2)
    make_server_certificate(
        tmp_path / "theirs.crt", tmp_path / "theirs.key", tmp_path / "s.crt", tmp_path / "s.key",
        ["127.0.0.1"], days=2,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "s.crt", tmp_path / "s.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=shake_hands, args=(listener, context))
        thread.start()

        said = trouble(
            f"https://127.0.0.1:{listener.getsockname()[1]}", cafile=tmp_path / "ours.crt"
        )
        thread.join()

    assert "not the one pinned when joining" in said


def shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    connection, _ = listener.accept()
    with connection, pytest.raises(ssl.SSLError):
        context.wrap_socket(connection, server_side=True)


def test_a_proxy_that_says_no_is_named() -> None:
    with answering(200) as url:
        port = url.split(":")[2].split("/")[0]

        said = trouble("https://127.0.0.1:9", proxy=f"http://127.0.0.1:{port}")

    assert "HTTPS_PROXY" in said


@pytest.mark.parametrize(
    ("ours_is_ahead_s", "expected"),
    [(20, "20 s ahead of"), (-400, "400 s behind"), (2, "does not know this site's key")],
)
def test_a_refused_signature_is_laid_to_the_clock_only_where_the_clock_is_wrong(
    ours_is_ahead_s: int, expected: str
) -> None:
    with answering(401, date=NOW - timedelta(seconds=ours_is_ahead_s)) as url:
        assert expected in trouble(url)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (403, "lets no federation traffic through"),
        (407, "asks for a login"),
        (502, "federation service does not run"),
        (504, "does not answer in time"),
        (418, "answers HTTP 418"),
    ],
)
def test_an_answer_that_is_no_answer_is_told_with_its_number(status: int, expected: str) -> None:
    with answering(status) as url:
        said = trouble(url)

    assert expected in said
    assert str(status) in said


def test_a_node_that_is_not_let_in_hears_both_reasons() -> None:
    body = b'{"code": 2004, "message": "Failed to activate SuperNode."}'

    with answering(400, body) as url:
        said = trouble(url)

    assert "not admitted" in said
    assert "a minute at most" in said


def test_nothing_that_the_other_side_wrote_is_repeated() -> None:
    with answering(500, b"<script>") as url:
        assert "script" not in trouble(url)
