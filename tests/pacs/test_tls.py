"""DIMSE over TLS, both ways, with a real PACS that takes nothing else."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dicom_samples import SERIES, STUDY, phantom, save, segmentation, series_of
from listener_process import done, listener, until
from pacs_on_loopback import AE_TITLE, DICOM, LISTEN, LISTEN_AE, Pacs, absent, orthanc

from crisp_client.pacs.fetch import fetch, send
from crisp_client.pacs.places import DimsePlace
from crisp_client.pacs.query import question_of
from crisp_client.pacs.tls import OwnTls, listening_context
from crisp_core.errors import ConnectionFailedError, UntrustedError, UsageError
from crisp_core.files.dicom.masks import read_mask
from crisp_core.files.dicom.series import read_series

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]  # pynetdicom's socket, as in test_fetch
WEEK = "7"


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate of 127.0.0.1 that signs itself; return it and its key."""
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    words = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", WEEK]
    words += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*words, "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    paths[1].chmod(0o600)
    return paths


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("pacs", "site", "stranger"):
        certificate(folder, name)
    return folder


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Pacs]:
    """A PACS that speaks TLS only, with nobody but those whose certificate it trusts."""
    if absent():
        pytest.skip(absent())
    listener_ = {"AET": LISTEN_AE, "Host": "127.0.0.1", "Port": LISTEN, "UseDicomTls": True}
    changes = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(keys / "pacs.pem"),
        "DicomTlsPrivateKey": str(keys / "pacs.key"),
        "DicomTlsTrustedCertificates": str(keys / "site.pem"),
        "DicomTlsRemoteCertificateRequired": True,
        "DicomModalities": {"listener": listener_},
    }
    with orthanc(tmp_path_factory.mktemp("orthanc"), **changes) as pacs:
        yield pacs


@pytest.fixture
def secure_pacs(running: Pacs) -> Iterator[Pacs]:
    with running.inside():
        running.clear()
        yield running


def place(keys: Path, *, who: str = "site", trusts: str = "pacs", tls: bool = True) -> DimsePlace:
    return DimsePlace(
        kind="dimse", host="127.0.0.1", port=DICOM, ae_title=AE_TITLE, tls=tls,
        authority=str(keys / f"{trusts}.pem"), certificate=str(keys / f"{who}.pem"),
        key=str(keys / f"{who}.key"), timeout_s=10,
    )  # fmt: skip


def test_what_is_sent_and_fetched_by_tls_is_what_it_was(secure_pacs, keys, tmp_path):
    source = save(tmp_path / "source", series_of(phantom(4, 30, 40)))
    series = read_series(source)
    labels = np.random.default_rng(0).integers(0, 3, (4, 30, 40)).astype(np.uint8)
    mask = save(tmp_path / "mask", [segmentation(series, labels, "BINARY")])

    send([*sorted(source.iterdir()), mask / "000.dcm"], place(keys))
    found = {one.modality: one for one in fetch(place(keys), study(), tmp_path / "out")}

    back = read_series(found["MR"].folder)
    np.testing.assert_array_equal(back.volume.array, series.volume.array)
    [path] = found["SEG"].folder.iterdir()
    assert (read_mask(path, series).array == read_mask(mask / "000.dcm", series).array).all()


@pytest.mark.parametrize(
    "wrong", [{"who": "stranger"}, {"trusts": "stranger"}, {"tls": False}], ids=str
)
def test_nothing_is_said_to_who_is_not_believed(secure_pacs, keys, tmp_path, wrong):
    with pytest.raises(ConnectionFailedError, match="an association"):
        list(fetch(place(keys, **wrong), study(), tmp_path / "out"))

    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_a_listener_hears_a_pacs_by_tls_and_nobody_without_a_certificate(
    secure_pacs, keys, tmp_path
):
    home, source = tmp_path / "home", save(tmp_path / "source", series_of(phantom(6, 40, 32)))
    send(sorted(source.iterdir()), place(keys))
    words = ["--certificate", keys / "site.pem", "--key", keys / "site.key"]
    words += ["--authority", keys / "pacs.pem", "--from", AE_TITLE]

    with listener(home, *words, port=LISTEN) as started, silent(LISTEN), half_said(LISTEN):
        assert started.push(source).wait() != 0  # in the clear
        assert push(source, keys, "stranger") != 0
        assert not list((home / "inbox/receiving").iterdir())
        secure_pacs.send_on("listener")
        until(done(home).exists)
        assert push(source, keys, "pacs") == 0
        assert started.end(signal.SIGTERM) == 0

    result = read_series(home / "inbox/results" / SERIES)
    np.testing.assert_array_equal(result.volume.array, read_series(source).volume.array)


def test_a_key_that_others_can_read_or_that_is_no_key_is_a_sentence(keys, tmp_path):
    loose = tmp_path / "loose.key"
    loose.write_bytes((keys / "site.key").read_bytes())
    loose.chmod(0o644)

    with pytest.raises(UntrustedError, match="0644"):
        listening_context(OwnTls(keys / "site.pem", loose))
    with pytest.raises(UsageError, match="a key that belongs to its certificate"):
        listening_context(OwnTls(keys / "site.pem", keys / "pacs.key"))
    with pytest.raises(UsageError, match="No such file"):
        listening_context(OwnTls(tmp_path / "absent.pem", keys / "site.key"))


def study():
    return question_of(STUDY, None, ())


def push(folder: Path, keys: Path, who: str) -> int:
    """Send a folder with dcmtk's storescu over TLS; return how it ended."""
    words = ["/usr/bin/storescu", "-aet", "SCANNER", "-aec", LISTEN_AE, "+sd", "-R"]
    words += ["+tls", keys / f"{who}.key", keys / f"{who}.pem", "+cf", keys / "site.pem"]
    done_ = subprocess.run(
        [*words, "127.0.0.1", str(LISTEN), folder], check=False, capture_output=True
    )
    return done_.returncode


def silent(port: int) -> socket.socket:
    """Connect and say nothing: the others are heard all the same."""
    return socket.create_connection(("127.0.0.1", port))


def half_said(port: int) -> socket.socket:
    """Begin a handshake and do not go on."""
    connection = silent(port)
    connection.sendall(b"\x16\x03\x01")
    return connection
