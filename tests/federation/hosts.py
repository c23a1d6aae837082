"""Hospitals and a coordinator as network namespaces on one bridge; nothing routes anywhere else.

Each host is a namespace of its own with one interface. The bridge is a namespace too, so cutting
`pN` there is the silent outage of a real network: packets vanish, nobody is told.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

PREFIX = "crisp-fl"
PACKAGES = {"ip": "iproute2", "tc": "iproute2", "nginx": "nginx"}
OF_A_NAMESPACE = Path("/etc/netns")
"""`ip netns exec` lays the files in here over /etc: a host's own /etc/hosts."""


def why_not_here() -> str | None:
    """Say what is missing on this machine for namespaces and the proxy, or nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root: run the tests as root"
    missing = sorted({package for tool, package in PACKAGES.items() if not shutil.which(tool)})
    return f"apt-get install {' '.join(missing)}" if missing else None


needs_hosts = pytest.mark.skipif(why_not_here() is not None, reason=str(why_not_here()))


@dataclass(frozen=True)
class Host:
    """One machine: a namespace with one interface `eth0`."""

    namespace: str
    address: str
    bridge: str
    port: str
    """The bridge's end of the cable."""

    def command(self, *words: str | Path) -> list[str]:
        """Return the command that runs `words` on this host; `ip` becomes the program itself."""
        return ["ip", "netns", "exec", self.namespace, *map(str, words)]

    def start(self, *words: str | Path, **options: object) -> subprocess.Popen:
        """Start a program on this host, in a session of its own."""
        return subprocess.Popen(self.command(*words), start_new_session=True, **options)

    def run(self, *words: str | Path, **options: object) -> subprocess.CompletedProcess:
        """Run a program on this host to its end and keep what it says."""
        settings = {"capture_output": True, "text": True, "timeout": 120, **options}
        return subprocess.run(self.command(*words), check=False, **settings)

    def cut(self) -> None:
        """Let every packet vanish, silently, as a broken line does."""
        _ip("-n", self.bridge, "link", "set", self.port, "down")

    def mend(self) -> None:
        """Undo `cut`."""
        _ip("-n", self.bridge, "link", "set", self.port, "up")

    def throttle(self, megabits_per_s: float) -> None:
        """Let no more than this leave the host (`tc tbf`)."""
        shape = f"tbf rate {megabits_per_s}mbit burst 64kb latency 400ms"
        self._shape("replace", *shape.split())

    def unthrottle(self) -> None:
        """Undo `throttle`."""
        self._shape("del")

    def know(self, names: Mapping[str, str]) -> None:
        """Give this host an /etc/hosts of its own; name -> address."""
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in names.items())]
        folder = OF_A_NAMESPACE / self.namespace
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "hosts").write_text("\n".join(lines) + "\n")

    def process_ids(self) -> list[int]:
        """List every process on this host."""
        return _process_ids(self.namespace)

    def _shape(self, verb: str, *words: str) -> None:
        _ip("netns", "exec", self.namespace, "tc", "qdisc", verb, "dev", "eth0", "root", *words)


@contextmanager
def hosts(*names: str) -> Iterator[dict[str, Host]]:
    """Bring up one host a name, all on one bridge; at the end all that runs on them is killed.

    Namespaces that a killed test process left behind are removed first.
    """
    remove_leftovers()
    owner = f"{PREFIX}-{os.getpid()}-{_count()}"
    bridge, net = f"{owner}-bridge", f"10.{os.getpid() % 200 + 20}.{_COUNTED % 250}"
    try:
        _ip("netns", "add", bridge)
        _ip("-n", bridge, "link", "add", "br0", "type", "bridge")
        _ip("-n", bridge, "link", "set", "br0", "up")
        yield {
            name: _plugged(Host(f"{owner}-{name}", f"{net}.{number}", bridge, f"p{number}"))
            for number, name in enumerate(names, start=1)
        }
    finally:
        _remove(name for name in _namespaces() if name.startswith(f"{owner}-"))


def remove_leftovers() -> None:
    """Remove the namespaces of test processes that are no more."""
    for name in _namespaces():
        owner = name.split("-")[2] if name.startswith(f"{PREFIX}-") else ""
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            _remove([name])


_COUNTED = 0


def _count() -> int:
    global _COUNTED  # noqa: PLW0603 - names must differ within one test process
    _COUNTED += 1
    return _COUNTED


def _plugged(host: Host) -> Host:
    _ip("netns", "add", host.namespace)
    _ip("-n", host.namespace, "link", "set", "lo", "up")
    veth = f"link add {host.port} netns {host.bridge} type veth peer name eth0 netns"
    _ip(*veth.split(), host.namespace)
    _ip("-n", host.bridge, "link", "set", host.port, "master", "br0", "up")
    _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
    _ip("-n", host.namespace, "link", "set", "eth0", "up")
    return host


def _remove(names: Iterator[str] | Sequence[str]) -> None:
    for name in names:
        _kill_all(name)
        with suppress(subprocess.CalledProcessError):
            _ip("netns", "del", name)
        shutil.rmtree(OF_A_NAMESPACE / name, ignore_errors=True)


def _kill_all(namespace: str) -> None:
    """Kill until nobody is left: a process may fork while we look."""
    deadline = time.monotonic() + 10
    while (left := _process_ids(namespace)) and time.monotonic() < deadline:
        for process_id in left:
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)
        time.sleep(0.05)


def _process_ids(namespace: str) -> list[int]:
    """List living processes of a namespace; zombies have no namespace any more."""
    said = subprocess.run(
        ["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False
    )
    return [int(word) for word in said.stdout.split()]


def _namespaces() -> list[str]:
    said = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in said.stdout.splitlines() if line.strip()]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
