"""A real PACS for tests: Orthanc in a network namespace of its own.

Orthanc listens on every interface of the machine it runs on. In a namespace that has nothing but
its own loopback nobody else can reach it, and every port is free. The test's own thread goes
into that namespace for as long as it talks to it; threads and processes that it starts follow.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

HTTP, DICOM, LISTEN = 8042, 4242, 11112
AE_TITLE, LISTEN_AE = "HOSPITAL", "CRISP"
USER, PASSWORD = "crisp", "a secret"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
APT = "apt-get install orthanc orthanc-dicomweb dcmtk"
NEW_NETWORK = 0x40000000
START_S = 60


def absent() -> str:
    """Say what keeps Orthanc from running here; "" if nothing does."""
    if not shutil.which("Orthanc") or not PLUGIN.exists() or not Path("/usr/bin/storescu").exists():
        return APT
    return "" if os.geteuid() == 0 else "a namespace of its own needs root"


@dataclass(frozen=True)
class Pacs:
    """A running Orthanc."""

    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{HTTP}"

    @property
    def dicomweb(self) -> str:
        return f"{self.url}/dicom-web"

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Put this thread, and what it starts, into the PACS's network."""
        libc = ctypes.CDLL(None, use_errno=True)
        own, other = Path("/proc/thread-self/ns/net"), Path(f"/proc/{self.pid}/ns/net")
        with own.open() as outside, other.open() as there:
            _enter(libc, there.fileno())
            try:
                yield
            finally:
                _enter(libc, outside.fileno())

    def get(self, path: str) -> object:
        """Ask Orthanc's own interface, such as "/instances"."""
        return httpx.get(self.url + path, auth=(USER, PASSWORD), timeout=30).json()

    def clear(self) -> None:
        """Remove every patient."""
        for patient in self.get("/patients"):
            httpx.delete(f"{self.url}/patients/{patient}", auth=(USER, PASSWORD), timeout=30)

    def push(self, folder: Path, *, port: int = DICOM, ae_title: str = AE_TITLE) -> None:
        """Send every file of a folder with dcmtk's storescu."""
        words = ["/usr/bin/storescu", "-aet", "SCANNER", "-aec", ae_title, "+sd", "-R"]
        subprocess.run([*words, "127.0.0.1", str(port), folder], check=True, capture_output=True)

    def send_on(self, modality: str) -> None:
        """Have Orthanc push everything it has to another node, by C-STORE."""
        url = f"{self.url}/modalities/{modality}/store"
        studies = self.get("/studies")
        httpx.post(url, json=studies, auth=(USER, PASSWORD), timeout=60).raise_for_status()


@contextmanager
def orthanc(folder: Path, **changes: object) -> Iterator[Pacs]:
    """Run Orthanc with DICOMweb and a password until the block ends.

    Args:
        folder: For its configuration and storage.
        changes: Of its configuration.
    """
    settings = folder / "orthanc.json"
    settings.write_text(json.dumps({**_settings(folder), **changes}))
    script = 'ip link set lo up && exec Orthanc "$0"'
    log = (folder / "orthanc.log").open("w")
    process = subprocess.Popen(
        ["unshare", "-n", "sh", "-c", script, settings], stdout=log, stderr=subprocess.STDOUT
    )
    try:
        pacs = Pacs(process.pid)
        _wait(pacs, process, folder / "orthanc.log")
        yield pacs
    finally:
        process.kill()
        process.wait()
        log.close()


def _wait(pacs: Pacs, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with pacs.inside():
                pacs.get("/system")
        except (httpx.HTTPError, OSError, ValueError):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(log.read_text()[-2000:])


def _enter(libc: ctypes.CDLL, handle: int) -> None:
    if libc.setns(handle, NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _settings(folder: Path) -> dict[str, object]:
    return {
        "Name": "hospital",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": HTTP,
        "DicomPort": DICOM,
        "DicomAet": AE_TITLE,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False, "Ssl": False},
        "DicomModalities": {"listener": [LISTEN_AE, "127.0.0.1", LISTEN]},
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "OverwriteInstances": False,
        "UnknownSopClassAccepted": True,
    }
