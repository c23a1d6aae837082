"""`crisp up`: the SuperLink, the SuperExec, nginx and the join service, kept alive together."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPException, HTTPSConnection

from crisp_core.errors import ProcessError, UntrustedError
from crisp_core.processes.lock import only_one
from crisp_core.processes.supervisor import ChildStatus, Supervisor
from crisp_core.trust.certificates import days_left, names_in, read_certificate
from crisp_core.trust.keys import read_private
from crisp_server.deployment.children import children_of
from crisp_server.deployment.join_service import JoinService, serving
from crisp_server.deployment.registrar import Registrar
from crisp_server.deployment.settings import CoordinatorSettings, load_settings, place
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster

STATE_FILE = "coordinator.json"
TICK_S = 0.25
STOP_GRACE_S = 10.0
SOON_DAYS = 30
_EVERY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared
"""Where this machine finds itself when it listens on every address."""


def up(home: CoordinatorHome, say: Callable[[str], None], is_ending: Callable[[], bool]) -> None:
    """Run the coordinator until `is_ending`, and leave no process behind.

    Args:
        home: The folder that `crisp provision` made.
        say: Told one line when all is ready, and one for whatever goes wrong.
        is_ending: Asked a few times a second.

    Raises:
        ProcessError: If a port is taken, nginx refuses its configuration, or another `crisp up`
            runs.
        UntrustedError: If a certificate has ended or a key is open to others.
        UsageError: If the settings cannot be read.
        MissingExtraError: If nginx is not installed.
    """
    settings = load_settings(home.settings)
    state = home.running / STATE_FILE
    with ExitStack() as stack:
        stack.enter_context(only_one(home.running / "up.lock", "`crisp up` of this home"))
        _check_trust(home, settings, say)
        Supervisor((), state).start()  # ends what one that was killed has left
        _check_ports(settings)
        children = children_of(home, settings)
        supervisor = Supervisor(children, state)
        registrar = Registrar(home, lambda: supervisor.status()[0].pid)
        service = JoinService(home, registrar.agree)
        stack.enter_context(serving(service, settings.join_port, say))
        stack.callback(supervisor.stop, STOP_GRACE_S)
        supervisor.start()
        stack.enter_context(registrar.watching())
        _look_after(supervisor, say, is_ending, partial(_ready, home, settings, registrar))


def _look_after(
    supervisor: Supervisor,
    say: Callable[[str], None],
    is_ending: Callable[[], bool],
    ready: Callable[[], str],
) -> None:
    """Restart what dies and say so, until the end; say once that all is ready."""
    is_ready, before = False, supervisor.status()
    while not is_ending():
        supervisor.check()
        now = supervisor.status()
        for sentence in changes(before, now):
            say(sentence)
        before = now
        if not is_ready and (sentence := ready()):
            is_ready = True
            say(sentence)
        time.sleep(TICK_S)


def changes(before: Sequence[ChildStatus], now: Sequence[ChildStatus]) -> list[str]:
    """Say in one line for each child what has happened to it between two looks."""
    sentences = []
    for old, new in zip(before, now, strict=True):
        if old.pid and old.pid != new.pid:
            why = f": {new.last_line}" if new.last_line else ""
            sentences.append(f"{new.name} ended ({_exit(new.last_exit)}) and is restarted{why}")
        if new.pid and old.pid != new.pid:
            sentences.append(f"{new.name} runs again")
    return sentences


def _exit(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _ready(home: CoordinatorHome, settings: CoordinatorSettings, registrar: Registrar) -> str:
    """Say that hospitals can come, once they can; empty until then."""
    if not (registrar.has_agreed() and _answers(home, settings)):
        return ""
    roster = Roster.load(home.roster)
    joined = len(roster.in_state("admitted"))
    return f"ready: https://{settings.address}, {joined} of {len(roster.entries)} sites have joined"


def _answers(home: CoordinatorHome, settings: CoordinatorSettings) -> bool:
    """Tell whether the open port answers with our certificate."""
    trusted = ssl.create_default_context(cafile=str(home.authority))
    host = _EVERY.get(settings.bind, settings.bind)
    trusted.check_hostname = host == "127.0.0.1"
    connection = HTTPSConnection(host, settings.port, timeout=TICK_S * 4, context=trusted)
    try:
        connection.request("GET", "/")
        return bool(connection.getresponse().status)
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _check_trust(
    home: CoordinatorHome, settings: CoordinatorSettings, say: Callable[[str], None]
) -> None:
    """Insist on certificates that hold and on keys that are ours alone."""
    read_private(home.certificate_key)
    certificate, authority = map(read_certificate, (home.certificate, home.authority))
    left = min(days_left(text, datetime.now(UTC)) for text in (certificate, authority))
    if left <= 0:
        raise UntrustedError(
            expected="a certificate that holds",
            got=f"one that ended {-left:.0f} days ago",
            where=str(home.certificate),
            fix="Make a new one: crisp renew",
        )
    if settings.host not in names_in(certificate):
        raise UntrustedError(
            expected=f"a certificate for {settings.host}, the address in coordinator.toml",
            got=f"one for {', '.join(names_in(certificate))}",
            where=str(home.certificate),
            fix="Make a new one: crisp renew",
        )
    if left < SOON_DAYS:
        say(f"the certificate ends in {left:.0f} days; make a new one: crisp renew")


def _check_ports(settings: CoordinatorSettings) -> None:
    """Insist on three free ports, before anything is started."""
    local = "127.0.0.1"
    ports = {
        "port": (settings.bind, settings.port),
        "superlink_port": (local, settings.superlink_port),
        "join_port": (local, settings.join_port),
    }
    for name, (host, port) in ports.items():
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise ProcessError(
                    expected="a port that this user may listen on and nobody else does",
                    got=f"{place(host, port)}: {error.strerror}",
                    where=f"{name} in coordinator.toml",
                    fix="Stop what listens there (ss -tlnp), or change the port",
                ) from None
