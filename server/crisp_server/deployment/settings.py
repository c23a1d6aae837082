"""The coordinator's own settings: where hospitals reach it and which ports stay on this machine."""

from __future__ import annotations

import json
import re
import tomllib
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator, model_validator

from crisp_core.errors import RunStateError, UsageError
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.study import Study
from crisp_server.home import CoordinatorHome

DEFAULT_PORT = 8443
LONGEST_TOKEN_HOURS = 24.0 * 365
_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])(?::(?P<port>\d+))?")
Port = Annotated[int, Field(ge=1, le=65535)]


class CoordinatorSettings(Frozen):
    """What `coordinator.toml` says."""

    address: str
    """HOST:PORT by which hospitals reach the coordinator; the host is in its certificate."""
    bind: str = "0.0.0.0"  # noqa: S104 - the one port that is meant to be reached
    port: Port
    superlink_port: Port
    join_port: Port
    token_hours: Annotated[float, Field(gt=0, le=LONGEST_TOKEN_HOURS)] = 72.0

    @field_validator("bind")
    @classmethod
    def _an_ip_address(cls, bind: str) -> str:
        return str(ip_address(bind.removeprefix("[").removesuffix("]")))

    @model_validator(mode="after")
    def _three_ports(self) -> CoordinatorSettings:
        if len({self.port, self.superlink_port, self.join_port}) < 3:  # noqa: PLR2004 - as its name says
            message = "port, superlink_port and join_port must differ"
            raise ValueError(message)
        return self

    @property
    def host(self) -> str:
        """The public name or IP address, without brackets."""
        return split_address(self.address)[0]

    @property
    def superlink(self) -> str:
        """HOST:PORT of the SuperLink, on this machine only."""
        return f"127.0.0.1:{self.superlink_port}"

    @property
    def listen(self) -> str:
        """ADDRESS:PORT that nginx listens on."""
        return place(self.bind, self.port)

    def text(self) -> str:
        """Write the file, each option explained."""
        explained = (f"# {_MEANINGS[key]}\n{key} = {json.dumps(value)}\n" for key, value in self)
        return "# Settings of this coordinator; `crisp up` reads them when it starts.\n\n" + (
            "\n".join(explained)
        )


_MEANINGS = {
    "address": "What hospitals connect to, HOST:PORT. After a change: `crisp renew`, new tokens.",
    "bind": "Address of this machine that nginx listens on; 0.0.0.0 is every one, :: of IPv6.",
    "port": "Port that nginx listens on: the only one to open in the firewall, for TLS from the "
    "hospitals.",
    "superlink_port": "Port of Flower's SuperLink on 127.0.0.1. Whoever is logged in here "
    "can reach it:\n# keep others off this machine.",
    "join_port": "Port of the join service on 127.0.0.1, behind nginx.",
    "token_hours": "Hours that a new join token lives.",
}


def split_address(text: str) -> tuple[str, int]:
    """Return host and port of HOST[:PORT]; an IPv6 address stands in brackets.

    Raises:
        UsageError: If it is something else.

    Examples:
        >>> split_address("[2001:DB8:0::1]:9000"), split_address("fl.hospital.example")
        (('2001:db8::1', 9000), ('fl.hospital.example', 8443))
    """
    found = _ADDRESS.fullmatch(text)
    port = int(found["port"] or DEFAULT_PORT) if found else 0
    if found is None or not 1 <= port <= 65535:  # noqa: PLR2004 - the highest port there is
        raise UsageError(
            expected="HOST or HOST:PORT",
            got=repr(text),
            where="the address of the coordinator",
            fix="Give the name that hospitals will connect to, like fl.hospital.example:8443",
        )
    return _as_certified(found["host"].strip("[]")), port


def _as_certified(host: str) -> str:
    """Write an IPv6 address as its certificate does."""
    try:
        return str(IPv6Address(host))
    except ValueError:
        return host


def place(host: str, port: int) -> str:
    """Write HOST:PORT, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def study_of(home: CoordinatorHome) -> Study:
    """Return the study that the home was provisioned for.

    Raises:
        RunStateError: If it is absent or damaged.
    """
    try:
        return Study.model_validate_json(home.study.read_bytes())
    except (OSError, ValueError):
        raise RunStateError(
            expected="the study of a coordinator's folder",
            got="none that can be read",
            where=str(home.study),
            fix="Name the folder with --home, or make one: crisp provision STUDY.toml",
        ) from None


def load_settings(path: Path) -> CoordinatorSettings:
    """Read `coordinator.toml`.

    Raises:
        UsageError: If it is absent or says something that is not allowed.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return CoordinatorSettings.model_validate(raw)
    except OSError as error:
        got, fix = error.strerror or "an error of the disk", "Name the coordinator's folder "
        fix += "with --home, or make one: crisp provision STUDY.toml --address HOST"
    except ValidationError as error:
        fault = error.errors()[0]
        words = fault["msg"].removeprefix("Value error, ")
        got = ": ".join([*map(str, fault["loc"]), words])
        fix = "Correct that line"
    except ValueError as error:  # not TOML, or not UTF-8
        got, fix = str(error), "Mend that line"
    raise UsageError(expected="the coordinator's settings", got=got, where=str(path), fix=fix)
