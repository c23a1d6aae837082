"""An errand to the resident process: a request goes, a departure comes back, over a Unix socket.

A frame is two lengths, a header in JSON and arrays as safetensors: nothing is unpickled. Both ends
are processes of one user of one installation; each makes sure of that.
"""

from __future__ import annotations

import json
import math
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from crisp_client.outbox import FIGURES, Departure
from crisp_client.requests import Request
from crisp_core.arrays import Parameters
from crisp_core.errors import RunStateError
from crisp_core.files.checkpoint import packed, unpacked
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.messages import SiteFault
from crisp_core.schema.record import Action
from crisp_core.schema.study import Study

LENGTHS = struct.Struct(">IQ")
CREDENTIALS = struct.Struct("3i")
LARGEST_HEADER_BYTES = 256_000_000
LARGEST_BODY_BYTES = 16_000_000_000
VERSION = version("crisp-fl")
"""Of the code in this process: a resident that was started before an upgrade is not asked."""
BROKEN = (OSError, EOFError, ValueError, KeyError, TypeError, RunStateError)
"""What comes of an end that hangs up, or speaks otherwise."""


def ask_resident(socket_path: Path, request: Request) -> Departure | None:
    """Let the resident work on a request.

    Returns:
        None if nobody is there, or it died on the way: whoever asks then computes it here.
    """
    try:
        with short_address(socket_path) as address, socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
            insist_on_same_user(connection)
            send_request(connection, request)
            return _received_departure(connection, request.action)
    except BROKEN:
        return None


@contextmanager
def short_address(path: Path) -> Iterator[str]:
    """Name a socket by its folder's open handle: the kernel takes 107 bytes and no more."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def insist_on_same_user(connection: socket.socket) -> None:
    """Hang up on a process of another user.

    Raises:
        PermissionError: If the kernel says that there is one at the other end.
    """
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, user, _ = CREDENTIALS.unpack(raw)
    if user != os.getuid():
        message = f"a process of user {user} is at the other end"
        raise PermissionError(message)


def send_request(connection: socket.socket, request: Request) -> None:
    """Send a request; `received_request` is the other end."""
    header = {
        "settings": request.settings.model_dump(mode="json"),
        "study": request.study.canonical(),
        "plan": request.plan,
        "action": request.action,
        "ask": request.ask,
        "epochs_left": request.epochs_left if math.isfinite(request.epochs_left) else None,
        "gpu_share": request.gpu_share,
    }
    _send(connection, header, request.parameters)


def received_request(connection: socket.socket) -> Request:
    """Receive what `send_request` sent; any of `BROKEN` if it is not that."""
    header, parameters = _received(connection)
    left = header["epochs_left"]
    return Request(
        settings=SiteSettings.model_validate_json(json.dumps(header["settings"])),
        study=Study.model_validate_json(header["study"]),
        plan=header["plan"],
        parameters=parameters,
        action=header["action"],
        ask=header["ask"],
        epochs_left=math.inf if left is None else left,
        gpu_share=header["gpu_share"],
    )


def send_departure(connection: socket.socket, departure: Departure) -> None:
    """Send what came of a request."""
    header = {
        "figures": departure.figures_text,
        "fault": departure.fault.model_dump(mode="json") if departure.fault else None,
        "case_count": departure.case_count,
        "patients": departure.patients,
        "epochs": departure.epochs,
        "stays": sorted(departure.stays),
    }
    _send(connection, header, departure.parameters)


def _received_departure(connection: socket.socket, action: Action) -> Departure:
    header, parameters = _received(connection)
    text, fault = header["figures"], header["fault"]
    return Departure(
        figures=FIGURES[action].model_validate_json(text) if text else None,
        parameters=parameters,
        case_count=header["case_count"],
        patients=header["patients"],
        epochs=header["epochs"],
        stays=frozenset(header["stays"]),
        fault=SiteFault.model_validate(fault) if fault else None,
    )


def _send(connection: socket.socket, header: dict[str, Any], arrays: Parameters) -> None:
    head = json.dumps({**header, "version": VERSION}).encode()
    body = packed(arrays, {})
    connection.sendall(LENGTHS.pack(len(head), len(body)))
    connection.sendall(head)
    connection.sendall(body)


def _received(connection: socket.socket) -> tuple[dict[str, Any], Parameters]:
    head_length, body_length = LENGTHS.unpack(_exactly(connection, LENGTHS.size))
    if head_length > LARGEST_HEADER_BYTES or body_length > LARGEST_BODY_BYTES:
        message = f"a frame of {head_length:,} and {body_length:,} bytes is too long"
        raise ValueError(message)
    header = json.loads(_exactly(connection, head_length))
    if header["version"] != VERSION:
        message = f"the other end runs crisp-fl {header['version']}, this one {VERSION}"
        raise ValueError(message)
    return header, unpacked(_exactly(connection, body_length))


def _exactly(connection: socket.socket, length: int) -> bytes:
    """Receive `length` bytes; EOFError if the other end hangs up before."""
    data = bytearray(length)
    view, filled = memoryview(data), 0
    while filled < length:
        count = connection.recv_into(view[filled:])
        if not count:
            message = f"the other end hung up after {filled} of {length} bytes"
            raise EOFError(message)
        filled += count
    view.release()
    return bytes(data)
