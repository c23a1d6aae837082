"""One question to the coordinator: JSON over TLS, by the same way that Flower's messages take."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from crisp_core.errors import ConnectionFailedError
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.joining import JOIN_PATH

ANSWER_TIMEOUT_S = 10.0
LARGEST_ANSWER_BYTES = 2_000_000
HTTPS_PORT = 443
PROXY_PORTS = {"http": 80, "https": HTTPS_PORT}

Clock = Callable[[], datetime]
"""Tells the time now, with its zone."""


def utc_now() -> datetime:
    """Tell this machine's time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Address:
    """Where to knock."""

    host: str
    """Without brackets."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    date: str
    """The `Date` header."""
    asked: datetime
    """When, by this machine's clock: the middle between question and answer."""
    certificate: bytes
    """The other side's own certificate (DER)."""


def address_of(text: str) -> Address:
    """Read HOST:PORT.

    Raises:
        ConnectionFailedError: If it is something else.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise ConnectionFailedError(
            expected="HOST:PORT",
            got=repr(text),
            where="the coordinator's address in site.toml",
            fix="Write it as it is in the token, like fl.hospital.example:8443",
        )
    return Address(host.strip("[]"), int(port))


def proxy_for(address: Address) -> SplitResult | None:
    """Return the proxy that the environment (HTTPS_PROXY, ALL_PROXY, NO_PROXY) names."""
    proxies = getproxies()
    text = proxies.get("https") or proxies.get("all")
    if not text or proxy_bypass(address.host):
        return None
    return urlsplit(text if "://" in text else f"http://{text}")


def first_stop(address: Address) -> Address:
    """Return whom this machine really connects to: the proxy, or the coordinator itself."""
    proxy = proxy_for(address)
    if proxy is None:
        return address
    return Address(proxy.hostname or "", proxy.port or PROXY_PORTS.get(proxy.scheme, HTTPS_PORT))


def ask(address: Address, request: Frozen, authority: str | None, now: Clock = utc_now) -> Answer:
    """Post a request and return the answer, whatever its status.

    Args:
        address: Of the coordinator.
        request: One of `crisp_core.schema.joining`.
        authority: The only authority (PEM) that counts. None believes anybody: only for what is
            public, and worth nothing until it is compared with something trusted.
        now: This machine's clock.

    Raises:
        httpx.HTTPError: If there is no answer, or none that may be believed.
    """
    url = f"https://{address}{JOIN_PATH}"
    head = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    body = request.model_dump_json()
    before = now()
    with (
        httpx.Client(verify=_verifier(authority), timeout=ANSWER_TIMEOUT_S) as client,
        client.stream("POST", url, content=body, headers=head) as response,
    ):
        middle = before + (now() - before) / 2
        certificate = _leaf(response)  # gone once the body is read
        return Answer(
            status=response.status_code,
            body=_read(response),
            date=response.headers.get("Date", ""),
            asked=middle,
            certificate=certificate,
        )


def _verifier(authority: str | None) -> ssl.SSLContext:
    """Return how Flower's own client verifies, or one that does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=authority)
    return context


def _leaf(response: httpx.Response) -> bytes:
    connection = response.extensions["network_stream"].get_extra_info("ssl_object")
    return connection.getpeercert(True) or b""


def _read(response: httpx.Response) -> bytes:
    body = b""
    for piece in response.iter_raw():  # not decompressed: small on the wire is small here
        body += piece
        if len(body) > LARGEST_ANSWER_BYTES:
            message = f"the answer is longer than {LARGEST_ANSWER_BYTES} bytes"
            raise httpx.DecodingError(message)
    return body
