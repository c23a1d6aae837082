"""S23 and its neighbours: what stands between a hospital and its coordinator is named in one line.

Each test breaks one thing on the way and types `crisp-client check`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from federation.deployment import (
    COORDINATOR,
    HOSTILE_PATH,
    NAME,
    Federation,
    federation,
    small_study,
)
from federation.hosts import needs_hosts
from federation.tcp_proxy import Proxy
from federation.tls_interceptor import ISSUER, intercepted

pytestmark = [pytest.mark.flower, pytest.mark.slow, pytest.mark.timeout(300), needs_hosts]

SITE = "east"


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A coordinator that is up and one hospital that has joined; `relay` stands between them."""
    tables = small_study({SITE: "source"}, federation={"rounds": 1})
    with federation(tmp_path_factory.mktemp("connection"), "relay", tables=tables) as whole:
        whole.provision()
        whole.up()
        whole.join(SITE)
        yield whole


@pytest.fixture(autouse=True)
def straight_again(joined: Federation) -> Iterator[None]:
    """Every test leaves the way as it found it."""
    yield
    joined.net[SITE].know({NAME: joined.net[COORDINATOR].address})
    joined.net[COORDINATOR].mend()


def errors(whole: Federation, **environment: str) -> list[str]:
    """Type `crisp-client check` and return its lines about errors."""
    said = whole.type(SITE, "crisp-client", "check", expect=None, **environment)
    return [line for line in said.splitlines() if line.startswith("error")]


def by_way_of(whole: Federation, name: str = NAME) -> None:
    """Let the hospital take `relay` for the coordinator."""
    whole.net[SITE].know({name: whole.net["relay"].address})


def test_s23_nothing_is_wrong_where_nothing_is_wrong(joined: Federation) -> None:
    assert errors(joined) == []


def test_s23_a_proxy_that_opens_tls_is_called_one_and_its_issuer_is_named(
    joined: Federation,
) -> None:
    by_way_of(joined)
    target = f"{joined.net[COORDINATOR].address}:{joined.port}"

    with intercepted(joined.net["relay"], joined.port, target, NAME):
        (line,) = errors(joined)

    assert ISSUER in line
    assert re.search("proxy|firewall|intercept|opens TLS", line)


def test_s23_a_name_that_is_not_in_the_certificate_is_named(joined: Federation) -> None:
    other = "fl.elsewhere.test"
    joined.net[SITE].know({other: joined.net[COORDINATOR].address})
    joined.edit_settings(SITE, coordinator=f"{other}:{joined.port}")

    lines = errors(joined)
    joined.edit_settings(SITE, coordinator=f"{NAME}:{joined.port}")

    assert len(lines) == 1
    assert other in lines[0]
    assert NAME in lines[0]  # what the certificate is for


def test_s23_a_name_that_nobody_knows_is_named(joined: Federation) -> None:
    joined.net[SITE].know({})

    (line,) = errors(joined)

    assert NAME in line
    assert re.search("name|DNS", line)


@pytest.mark.parametrize("seconds", [600, -600])
def test_s23_a_clock_that_is_ten_minutes_wrong_is_named(joined: Federation, seconds: int) -> None:
    (line,) = errors(joined, PYTHONPATH=HOSTILE_PATH, CRISP_CLOCK_S=str(seconds))

    side = "ahead of" if seconds > 0 else "behind"
    assert re.search(rf"clock is (59\d|60\d) s {side}", line)
    assert "NTP" in line


def test_s23_a_port_that_is_closed_is_named(joined: Federation) -> None:
    by_way_of(joined)

    (line,) = errors(joined)

    assert str(joined.port) in line
    assert re.search("refused|nothing listens|closed", line)


def test_s23_a_firewall_that_swallows_everything_is_named(joined: Federation) -> None:
    joined.net[COORDINATOR].cut()

    (line,) = errors(joined)

    assert str(joined.port) in line
    assert re.search("no answer|firewall|timed out|time", line)


def test_s23_a_line_that_takes_the_connection_and_hangs_up_is_named(joined: Federation) -> None:
    by_way_of(joined)
    proxy = Proxy(joined.net["relay"], joined.port, "127.0.0.1:9")
    try:
        (line,) = errors(joined)
    finally:
        proxy.close()

    assert NAME in line


def test_s23_the_daemon_of_a_hospital_with_a_wrong_clock_says_so_too(joined: Federation) -> None:
    daemon = joined.start(SITE, wait=False, CRISP_CLOCK_S="600")

    joined.wait_for(lambda: "clock" in daemon.said(), 60, "the daemon names the clock")
    daemon.stop()

    assert "ready:" not in daemon.said()
