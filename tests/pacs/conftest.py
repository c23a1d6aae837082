from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from pacs_on_loopback import Pacs, absent, orthanc


@pytest.fixture(scope="session")
def running_pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    """One Orthanc for all tests here; skipped, with the line to type, where it is not installed."""
    if absent():
        pytest.skip(absent())
    with orthanc(tmp_path_factory.mktemp("orthanc")) as pacs:
        yield pacs


@pytest.fixture
def pacs(running_pacs: Pacs) -> Iterator[Pacs]:
    """An empty Orthanc; the test runs inside its network."""
    with running_pacs.inside():
        running_pacs.clear()
        yield running_pacs


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Let a socket that pynetdicom forgot be found here, where its warning is ignored."""
    yield
    gc.collect()
