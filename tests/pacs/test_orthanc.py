"""The fixture itself: a real PACS, reachable from the test and from nowhere else."""

from __future__ import annotations

import socket
import threading

import httpx
import pytest
from dicom_samples import phantom, save, series_of
from pacs_on_loopback import DICOM

pytestmark = pytest.mark.slow


def test_what_is_pushed_is_there(pacs, tmp_path):
    pacs.push(save(tmp_path, series_of(phantom(3))))

    assert len(pacs.get("/instances")) == 3


def test_nobody_outside_its_namespace_reaches_it(running_pacs):
    with pytest.raises(httpx.ConnectError):
        running_pacs.get("/system")
    with running_pacs.inside():
        socket.create_connection(("127.0.0.1", DICOM), timeout=5).close()


def test_a_thread_follows_into_the_namespace(pacs):
    found = []
    thread = threading.Thread(target=lambda: found.append(pacs.get("/system")))
    thread.start()
    thread.join()

    assert found[0]["DicomAet"] == "HOSPITAL"
