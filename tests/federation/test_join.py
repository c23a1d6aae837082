"""The hospital's `join` and `check` against the coordinator's real service behind real nginx."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from coordinator_homes import made_home, needs_nginx, nginx_running, token_of

from crisp_client.connection import Finding, probe
from crisp_client.home import SiteHome
from crisp_client.joining import JoinResult, join
from crisp_client.settings import load_settings
from crisp_core.errors import UntrustedError
from crisp_core.trust.keys import load_signing_key, public_pem
from crisp_server.deployment.invitations import invite, shut_out
from crisp_server.deployment.join_service import JoinService, serving
from crisp_server.deployment.provision import renew_certificate
from crisp_server.deployment.settings import load_settings as coordinator_settings
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster

pytestmark = needs_nginx


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[CoordinatorHome]:
    with ExitStack() as stack:
        home = made_home(tmp_path)
        settings = stack.enter_context(nginx_running(home))
        service = JoinService(home, lambda *_: None)
        stack.enter_context(serving(service, settings.join_port, lambda _: None))
        yield home


def joined(coordinator: CoordinatorHome, place: Path, site: str = "north") -> JoinResult:
    place.mkdir(exist_ok=True)
    token = coordinator.tokens / f"{site}.token"
    return join(str(token), SiteHome(place / "crisp-site"), [place])


def findings(place: Path) -> tuple[Finding, ...]:
    home = SiteHome(place / "crisp-site")
    return probe(load_settings(home.settings), home)


def test_the_token_file_admits_a_site_and_the_study_is_the_coordinators(
    coordinator: CoordinatorHome, tmp_path: Path
) -> None:
    place = tmp_path / "north"

    result = joined(coordinator, place)

    entry = Roster.load(coordinator.roster).entry("north")
    assert entry.state == "admitted"
    own = public_pem(load_signing_key(SiteHome(place / "crisp-site").signing_key))
    assert entry.signing_key == own
    assert result.study.name == "tiny"
    assert "error" not in [finding.level for finding in findings(place)]
    assert findings(place)[-1].what == "standing"


def test_the_same_token_serves_the_same_keys_again_and_no_others(
    coordinator: CoordinatorHome, tmp_path: Path
) -> None:
    joined(coordinator, tmp_path / "north")
    joined(coordinator, tmp_path / "north")

    with pytest.raises(UntrustedError, match="with other keys"):
        joined(coordinator, tmp_path / "thief")


def test_a_new_token_replaces_the_old_one(coordinator: CoordinatorHome, tmp_path: Path) -> None:
    old = token_of(coordinator, "north").text()
    invite(coordinator, "north")

    with pytest.raises(UntrustedError, match="not known here"):
        join(old, SiteHome(tmp_path / "crisp-site"), [tmp_path])

    assert joined(coordinator, tmp_path / "north").settings.site == "north"


def test_a_revoked_site_is_told_so(coordinator: CoordinatorHome, tmp_path: Path) -> None:
    joined(coordinator, tmp_path / "north")
    shut_out(coordinator, "north")

    last = findings(tmp_path / "north")[-1]

    assert (last.what, last.level) == ("standing", "error")
    assert "has revoked site 'north'" in last.sentence


def test_keys_that_the_coordinator_never_saw_are_unknown(
    coordinator: CoordinatorHome, tmp_path: Path
) -> None:
    joined(coordinator, tmp_path / "north")
    joined(coordinator, tmp_path / "east", "east")
    stolen = SiteHome(tmp_path / "north" / "crisp-site").signing_key
    stolen.write_bytes(SiteHome(tmp_path / "east" / "crisp-site").signing_key.read_bytes())

    assert "does not know site 'north'" in findings(tmp_path / "north")[-1].sentence


def test_a_renewed_certificate_is_trusted_without_joining_again(
    tmp_path: Path,
) -> None:
    home = made_home(tmp_path)
    ports = coordinator_settings(home.settings)
    with serving(JoinService(home, lambda *_: None), ports.join_port, lambda _: None):
        with nginx_running(home):
            joined(home, tmp_path / "north")
            before = findings(tmp_path / "north")
        renew_certificate(home, days=200)
        with nginx_running(home):
            after = findings(tmp_path / "north")

    assert any("ends in" in finding.sentence for finding in before)
    assert [finding.level for finding in after] == ["ok"] * 5


def test_without_its_join_service_the_coordinator_is_said_to_be_unwell(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    with nginx_running(home):
        with serving(
            JoinService(home, lambda *_: None),
            coordinator_settings(home.settings).join_port,
            lambda _: None,
        ):
            joined(home, tmp_path / "north")
        last = findings(tmp_path / "north")[-1]

    assert last.what == "standing"
    assert "502" in last.sentence
