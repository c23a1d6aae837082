"""DIMSE over TLS: whom we believe when we call, and who may call us."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crisp_client.pacs.places import DimsePlace
from crisp_core.errors import UsageError
from crisp_core.trust.keys import read_private

SILENCE_S = 60.0
"""After which a caller that does not go on with its handshake is let go."""


@dataclass(frozen=True)
class OwnTls:
    """How a listener proves who it is, and what it asks of its callers.

    Attributes:
        certificate: PEM file.
        key: PEM file of its key, readable by its owner only.
        authority: PEM file of who signs the callers' certificates; None: they need none, and
            whoever knows an AE title on the list may send.
    """

    certificate: Path
    key: Path
    authority: Path | None = None


def calling_context(place: DimsePlace) -> ssl.SSLContext:
    """Return how to call a PACS: its certificate must bear its host's name.

    Raises:
        UsageError: If a PEM file cannot be read, or certificate and key do not belong together.
        UntrustedError: If others can read the key.
    """
    with _readable(place.authority, place.certificate, place.key):
        context = ssl.create_default_context(cafile=place.authority or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if place.certificate:
            _prove(context, place.certificate, place.key)
    return context


def listening_context(own: OwnTls) -> ssl.SSLContext:
    """Return how to be called; as `calling_context`."""
    with _readable(own.certificate, own.key, own.authority or ""):
        context = _Unhurried(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _prove(context, str(own.certificate), str(own.key))
        if own.authority is not None:
            context.load_verify_locations(own.authority)
            context.verify_mode = ssl.CERT_REQUIRED
    return context


class _Unhurried(ssl.SSLContext):
    """Lets each caller shake hands in its own thread: one that is silent keeps nobody waiting."""

    def wrap_socket(self, sock: socket.socket, *_: Any, **__: Any) -> ssl.SSLSocket:  # noqa: ANN401
        """Wrap an accepted socket; its first read shakes hands."""
        sock.settimeout(SILENCE_S)
        return super().wrap_socket(sock, server_side=True, do_handshake_on_connect=False)


def _prove(context: ssl.SSLContext, certificate: str, key: str) -> None:
    if key:
        read_private(Path(key))
    context.load_cert_chain(certificate, key or None)


@contextmanager
def _readable(*files: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(
            expected="PEM files that can be read, and a key that belongs to its certificate",
            got=error.strerror or str(error),
            where=", ".join(str(name) for name in files if str(name)) or "the machine's own list",
            fix="Correct authority, certificate and key",
        ) from None
