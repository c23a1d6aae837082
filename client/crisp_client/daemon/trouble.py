"""What is wrong between a hospital and its coordinator, in a sentence, from the error itself."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

MARK = "crisp-trouble: "
"""Begins a line of the log that says what is wrong."""
CLOCK_TOLERANCE_S = 4.0
"""Flower takes a signature at most 5 s ahead of its own clock."""
_NODE_REFUSED = '"code":2004'
_BY_STATUS = {
    403: "something on the way lets no federation traffic through (HTTP 403)",
    407: "the proxy of this network asks for a login (HTTP 407)",
    502: "the coordinator's machine answers, its federation service does not run (HTTP 502)",
    503: "the coordinator's machine answers, its federation service does not run (HTTP 503)",
    504: "the coordinator's federation service does not answer in time (HTTP 504)",
}


def trouble_of(error: Exception, now: datetime) -> str:
    """Return a sentence about a failed request, without the coordinator's words or ours."""
    if isinstance(error, httpx.HTTPStatusError):
        return _refusal(error.response, now)
    if isinstance(error, httpx.ProxyError):
        return "the proxy named in HTTPS_PROXY does not let us through"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time: the coordinator is down, or a firewall swallows the traffic"
    return _broken_connection(error)


def _broken_connection(error: Exception) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                "the certificate is not the one pinned when joining "
                f"({cause.verify_message}): wrong coordinator, or a proxy opens TLS"
            )
        if isinstance(cause, socket.gaierror):
            return "the coordinator's name is unknown here: check DNS or /etc/hosts"
        if isinstance(cause, ConnectionRefusedError):
            return "nothing listens at the coordinator's address: it is down, or the port is wrong"
    return f"the connection failed ({type(error).__name__})"


def is_node_refusal(answer: httpx.Response) -> bool:
    """Say whether the coordinator refuses the node itself: unknown, or counted as connected."""
    return _NODE_REFUSED in answer.text.replace(" ", "")


def _refusal(answer: httpx.Response, now: datetime) -> str:
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        ahead_s = _ahead_s(answer, now)
        if abs(ahead_s) > CLOCK_TOLERANCE_S:
            side = "ahead of" if ahead_s > 0 else "behind"
            return f"this machine's clock is {abs(ahead_s):.0f} s {side} the coordinator's: use NTP"
        return (
            "the coordinator does not know this site's key (any more): ask whether it is admitted"
        )
    if is_node_refusal(answer):
        return (
            "the coordinator does not let this site in: it is not admitted, "
            "or an earlier connection has not expired yet (that takes a minute at most)"
        )
    return _BY_STATUS.get(answer.status_code, f"the coordinator answers HTTP {answer.status_code}")


def _ahead_s(answer: httpx.Response, now: datetime) -> float:
    """Return how far our clock is ahead of the answer's `Date`; 0 if it has none."""
    try:
        theirs = parsedate_to_datetime(answer.headers["Date"])
    except (KeyError, ValueError):
        return 0.0
    return (now - theirs.astimezone(UTC)).total_seconds()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
