"""A call that says why it failed."""

from __future__ import annotations

import ssl

import httpx

from crisp_client.connection.call import Address, Answer, Clock, ask, utc_now
from crisp_client.connection.finding import Finding, error
from crisp_client.connection.tls import tls_trouble
from crisp_client.connection.way import proxy_fault, proxy_refusal, way
from crisp_core.schema.frozen import Frozen


def call(
    address: Address, request: Frozen, authority: str | None, now: Clock = utc_now
) -> Answer | Finding:
    """Ask the coordinator as `ask` does; where no answer comes that may be believed, say why."""
    fault = proxy_fault(address)
    if fault is not None:
        return fault
    try:
        return ask(address, request, authority, now)
    except httpx.HTTPError as failure:
        return _explained(failure, address, authority, now)


def _explained(
    failure: httpx.HTTPError, address: Address, authority: str | None, now: Clock
) -> Finding:
    """Name the cause of a call that failed, in the order of the steps."""
    for finding in way(address):
        if finding.level == "error":
            return finding
    if isinstance(failure, httpx.ProxyError):
        return proxy_refusal(str(failure), address)
    cause = _ssl_cause(failure)
    if cause is not None:
        return tls_trouble(cause, address, authority or "", now)
    does = "says nothing" if isinstance(failure, httpx.TimeoutException) else "breaks off"
    return error(
        "tls",
        f"{address} takes the connection and then {does}",
        "A firewall may stop what follows, or the coordinator is not well: ask both",
    )


def _ssl_cause(failure: BaseException | None) -> ssl.SSLError | None:
    while failure is not None and not isinstance(failure, ssl.SSLError):
        failure = failure.__cause__ or failure.__context__
    return failure
