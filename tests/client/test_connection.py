from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from join_samples import (
    Door,
    a_page,
    certificate_of_another_time,
    connect_proxy,
    free_port,
    full_listener,
    interceptor,
    levels,
    member,
    open_door,
    serving,
    silent_listener,
)

from crisp_client.connection import Finding, probe


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with open_door(Door(tmp_path / "door")) as here:
        yield here


def last(door: Door, folder: Path, address: str | None = None) -> Finding:
    """Probe as a member of this door and return what ended the way."""
    findings = probe(*member(door, folder / "home", address))
    assert [finding.level for finding in findings[:-1]] == ["ok"] * (len(findings) - 1)
    assert "\n" not in findings[-1].line()
    return findings[-1]


def test_a_free_way_is_ok_at_every_step(door: Door, tmp_path: Path) -> None:
    findings = probe(*member(door, tmp_path / "home"))

    steps = ["dns", "port", "tls", "clock", "standing"]
    assert levels(findings) == [(step, "ok") for step in steps]


def test_an_unknown_name_is_a_matter_of_dns(door: Door, tmp_path: Path) -> None:
    finding = last(door, tmp_path, "coordinator.invalid:8443")

    assert (finding.what, finding.level) == ("dns", "error")
    assert "'coordinator.invalid'" in finding.sentence
    assert "/etc/hosts" in finding.fix


def test_a_refused_port_says_that_the_coordinator_is_down(door: Door, tmp_path: Path) -> None:
    finding = last(door, tmp_path, f"127.0.0.1:{free_port()}")

    assert finding.what == "port"
    assert "refuses the connection" in finding.sentence
    assert "crisp up" in finding.fix


@pytest.mark.slow
def test_a_port_without_any_answer_says_that_it_is_blocked(door: Door, tmp_path: Path) -> None:
    with full_listener() as port:
        finding = last(door, tmp_path, f"127.0.0.1:{port}")

    assert finding.what == "port"
    assert "the port is blocked" in finding.sentence
    assert f"outgoing TCP to 127.0.0.1:{port}" in finding.fix


@pytest.mark.slow
def test_a_port_that_takes_the_call_and_stays_silent_is_named(door: Door, tmp_path: Path) -> None:
    with silent_listener() as port:
        finding = last(door, tmp_path, f"127.0.0.1:{port}")

    assert finding.what == "tls"
    assert "then says nothing" in finding.sentence


def test_a_port_without_tls_is_named(door: Door, tmp_path: Path) -> None:
    with serving(a_page(b"hello"), None, None) as port:
        finding = last(door, tmp_path, f"127.0.0.1:{port}")

    assert finding.what == "tls"
    assert "does not answer in TLS" in finding.sentence


def test_another_coordinator_at_the_address_is_not_taken_for_a_proxy(
    door: Door, tmp_path: Path
) -> None:
    with open_door(Door(tmp_path / "other", authority_name="other")) as other:
        finding = last(door, tmp_path, other.address)

    assert finding.what == "tls"
    assert "has another authority" in finding.sentence
    assert "new token" in finding.fix


def test_another_authority_with_the_same_name_is_not_believed(door: Door, tmp_path: Path) -> None:
    with open_door(Door(tmp_path / "other")) as other:
        finding = last(door, tmp_path, other.address)

    assert "has another authority" in finding.sentence


def test_a_proxy_that_opens_tls_is_named_with_its_issuer(door: Door, tmp_path: Path) -> None:
    with interceptor(door, tmp_path / "firewall", "Hospital Inspection") as port:
        finding = last(door, tmp_path, f"127.0.0.1:{port}")

    assert finding.what == "tls"
    assert "a TLS-intercepting proxy" in finding.sentence
    assert "'Hospital Inspection authority'" in finding.sentence
    assert "exempt" in finding.fix
    assert "standing" not in door.asked, "nothing was told to whoever opens TLS"


def test_a_proxy_that_opens_tls_behind_https_proxy_is_named(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        interceptor(door, tmp_path / "firewall", "Hospital Inspection") as port,
        connect_proxy(lambda _: port) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        finding = last(door, tmp_path, "coordinator.example:8443")

    assert finding.what == "tls"
    assert "a TLS-intercepting proxy" in finding.sentence
    assert "'Hospital Inspection authority'" in finding.sentence


def test_a_stranger_that_answers_with_a_page_is_no_coordinator(door: Door, tmp_path: Path) -> None:
    stranger = Door(tmp_path / "stranger", authority_name="Web")
    with serving(a_page(b"<h1>Blocked</h1>"), *stranger.certificate()) as port:
        finding = last(door, tmp_path, f"127.0.0.1:{port}")

    assert finding.what == "tls"
    assert "is no coordinator" in finding.sentence
    assert "'Web authority'" in finding.sentence


def test_a_certificate_for_other_names_lists_them(tmp_path: Path) -> None:
    made = Door(tmp_path / "door")
    certificate = made.certificate("coordinator.example")
    with (
        open_door(made, certificate=certificate) as door,
        connect_proxy(lambda _: door.port) as proxy,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("HTTPS_PROXY", proxy)
        finding = last(door, tmp_path, "elsewhere.example:8443")

    assert finding.what == "tls"
    assert "coordinator.example, localhost, 127.0.0.1, not for elsewhere.example" in (
        finding.sentence
    )


@pytest.mark.parametrize(
    ("begin_days", "end_days", "words"),
    [(-9, -1, "expired on"), (2, 9, "is not valid before")],
)
def test_a_certificate_outside_its_time_is_named_with_this_clock(
    tmp_path: Path, begin_days: int, end_days: int, words: str
) -> None:
    made = Door(tmp_path / "door")
    certificate = certificate_of_another_time(made, begin_days, end_days)
    with open_door(made, certificate=certificate) as door:
        finding = last(door, tmp_path)

    assert finding.what == "tls"
    assert words in finding.sentence
    assert "this clock says" in finding.sentence


def test_an_authority_outside_its_time_is_not_called_the_certificate(tmp_path: Path) -> None:
    made = Door(tmp_path / "door", days=0)
    with open_door(made, certificate=certificate_of_another_time(made, -1, 9)) as door:
        finding = last(door, tmp_path)

    assert "the coordinator's authority is outside its own time" in finding.sentence


def test_a_certificate_that_ends_soon_is_a_warning(tmp_path: Path) -> None:
    made = Door(tmp_path / "door")
    with open_door(made, certificate=made.certificate(days=3)) as door:
        findings = probe(*member(door, tmp_path / "home"))

    assert ("tls", "warning") in levels(findings)
    assert ("standing", "ok") in levels(findings)


@pytest.mark.parametrize(
    ("ahead_s", "level", "words"),
    [
        (-600, "error", "600 s ahead of"),
        (600, "error", "600 s behind"),
        (-8, "error", "8 s ahead of"),
        (60, "warning", "60 s behind"),
        (0, "ok", "within 2 s"),
    ],
)
def test_a_wrong_clock_says_which_way(
    door: Door, tmp_path: Path, ahead_s: int, level: str, words: str
) -> None:
    door.ahead = timedelta(seconds=ahead_s)

    findings = probe(*member(door, tmp_path / "home"))

    clock = next(finding for finding in findings if finding.what == "clock")
    assert clock.level == level
    assert words in clock.sentence
    assert level == "ok" or "chrony" in clock.fix


@pytest.mark.parametrize(
    ("state", "words"), [("revoked", "has revoked site 'north'"), ("unknown", "does not know")]
)
def test_a_site_that_may_not_take_part_is_told(
    door: Door, tmp_path: Path, state: str, words: str
) -> None:
    door.state = state

    finding = last(door, tmp_path)

    assert finding.what == "standing"
    assert words in finding.sentence


def test_a_key_that_is_not_registered_is_unknown(door: Door, tmp_path: Path) -> None:
    settings, home = member(door, tmp_path / "home")
    member(door, tmp_path / "another")

    findings = probe(settings, home)

    assert findings[-1].what == "standing"
    assert "does not know site 'north' by this key" in findings[-1].sentence


def test_a_coordinator_without_its_join_service_is_told(door: Door, tmp_path: Path) -> None:
    door.refusal = (502, "Bad Gateway")

    finding = last(door, tmp_path)

    assert finding.what == "standing"
    assert "502" in finding.sentence


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"403 Forbidden", "does not connect to coordinator.example:8443: 403 Forbidden"),
        (b"407 Proxy Authentication Required", "wants a user and a password"),
        (b"502 Bad Gateway", "502 Bad Gateway"),
    ],
)
def test_a_proxy_that_refuses_says_why(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, words: str
) -> None:
    with connect_proxy(lambda _: answer) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.replace("http://", "http://user:hidden@"))
        finding = last(door, tmp_path, "coordinator.example:8443")

    assert finding.what == "proxy"
    assert words in finding.sentence
    assert "hidden" not in finding.line()


def test_a_proxy_that_lets_through_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        open_door(Door(tmp_path / "door"), "coordinator.example") as door,
        connect_proxy(lambda _: door.port) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        findings = probe(*member(door, tmp_path / "home", "coordinator.example:8443"))

    steps = ["dns", "port", "proxy", "tls", "clock", "standing"]
    assert levels(findings) == [(step, "ok") for step in steps]


def test_a_proxy_that_is_down_is_not_the_coordinators_fault(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")

    finding = last(door, tmp_path, "coordinator.example:8443")

    assert finding.what == "port"
    assert finding.sentence.startswith("proxy 127.0.0.1:")


def test_a_socks_proxy_is_said_not_to_work(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")

    finding = last(door, tmp_path)

    assert finding.what == "proxy"
    assert "'socks5'" in finding.sentence


def test_no_proxy_is_honoured(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    assert last(door, tmp_path).what == "standing"


def test_a_home_without_keys_says_so_in_a_finding(door: Door, tmp_path: Path) -> None:
    settings, home = member(door, tmp_path / "home")
    home.signing_key.unlink()

    findings = probe(settings, home)

    assert findings[-1].level == "error"
    assert "private key" in findings[-1].sentence


def test_a_line_cannot_steer_the_terminal() -> None:
    assert Finding("error", "tls", "by '\x1b[2J\nok: fine'").line() == (
        "error: tls: by '?[2J?ok: fine'."
    )
