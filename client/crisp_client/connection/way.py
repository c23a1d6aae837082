"""The way to the coordinator's port: names, routes, proxies."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from http import HTTPStatus

from crisp_client.connection.call import PROXY_PORTS, Address, first_stop, proxy_for
from crisp_client.connection.finding import Finding, error

PORT_TIMEOUT_S = 5.0


def way(address: Address) -> Iterator[Finding]:
    """Go to the first stop: the coordinator, or the proxy that is set; end at the first error."""
    fault = proxy_fault(address)
    if fault is not None:
        yield fault
        return
    dns = _dns(address)
    yield dns
    if dns.level == "ok":
        yield _port(address)


def _dns(address: Address) -> Finding:
    stop = first_stop(address)
    name = _called(address)
    if _is_number(stop.host):
        return Finding("ok", "dns", f"{name} {stop.host} is an address: no name to look up")
    try:
        found = socket.getaddrinfo(stop.host, stop.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as failure:
        silent = getattr(failure, "errno", None) == socket.EAI_AGAIN
        cause = "no DNS server answers" if silent else "DNS does not know it"
        return error(
            "dns",
            f"the name {stop.host!r} of {name} does not resolve: {cause}",
            "Mend its spelling or the DNS, or add a line to /etc/hosts",
        )
    addresses = ", ".join(dict.fromkeys(str(entry[4][0]) for entry in found))
    return Finding("ok", "dns", f"{name} {stop.host} is {addresses}")


def _port(address: Address) -> Finding:
    stop, name = first_stop(address), _called(address)
    try:
        socket.create_connection((stop.host, stop.port), timeout=PORT_TIMEOUT_S).close()
    except TimeoutError:
        return error(
            "port",
            f"no answer from {name} {stop} within {PORT_TIMEOUT_S:g} s: the port is blocked",
            f"Ask the network team to open outgoing TCP to {stop}, or set HTTPS_PROXY",
        )
    except ConnectionRefusedError:
        return error(
            "port",
            f"{name} {stop} refuses the connection: its machine is there, nothing listens",
            "Start it (coordinator: crisp up), or correct the port",
        )
    except OSError as failure:
        return error(
            "port",
            f"no way to {name} {stop}: {(failure.strerror or 'the network fails').lower()}",
            "Check this machine's network and its route there",
        )
    return Finding("ok", "port", f"{name} {stop} takes connections")


def proxy_fault(address: Address) -> Finding | None:
    """Say why the proxy that is set cannot be used, before anybody tries."""
    proxy = proxy_for(address)
    if proxy is None or (proxy.scheme in PROXY_PORTS and proxy.hostname):
        return None
    return error(
        "proxy",
        f"HTTPS_PROXY names a proxy of kind {proxy.scheme!r}, which does not work here",
        "Write it as http://HOST:PORT, or name the coordinator in NO_PROXY",
    )


def proxy_refusal(answer: str, address: Address) -> Finding:
    """Explain what a proxy said to CONNECT, such as "403 Forbidden"."""
    proxy = first_stop(address)
    if answer.startswith(str(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED.value)):
        return error(
            "proxy",
            f"the proxy {proxy} wants a user and a password",
            "Put them into HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT",
        )
    return error(
        "proxy",
        f"the proxy {proxy} does not connect to {address}: {answer.strip() or 'no reason'}",
        f"Ask the network team to allow CONNECT to {address}, or name the host in NO_PROXY",
    )


def _called(address: Address) -> str:
    return "coordinator" if proxy_for(address) is None else "proxy"


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
