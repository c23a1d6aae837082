from __future__ import annotations

import base64
import json
import os
import re
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from coordinator_homes import SITES, made_home, study, token_of

from crisp_core.errors import RunStateError, StudyError, UntrustedError, UsageError
from crisp_core.schema.study import Study
from crisp_core.trust.certificates import days_left, fingerprint, names_in
from crisp_core.trust.tokens import secret_hash
from crisp_server.deployment.control import connected
from crisp_server.deployment.invitations import invite, let_in, shut_out
from crisp_server.deployment.provision import provision, renew_certificate
from crisp_server.deployment.settings import load_settings, split_address
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_home_has_one_working_token_for_each_site(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    roster = Roster.load(home.roster)

    for site in SITES:
        token = token_of(home, site)
        assert token.site == site
        assert token.address == load_settings(home.settings).address
        assert token.fingerprint == fingerprint(home.authority.read_text())
        assert roster.entry(site).token_hash == secret_hash(token.secret)


def test_neither_a_token_nor_the_roster_holds_a_secret_of_the_coordinator(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    keys = [home.authority_key, home.certificate_key, home.signing_key]
    inner = ["".join(key.read_text().splitlines()[1:-1]) for key in keys]

    for site in SITES:
        line = (home.tokens / f"{site}.token").read_text().strip().removeprefix("crisp1.")
        packed = base64.urlsafe_b64decode(line + "=" * (-len(line) % 4)).decode()
        assert set(json.loads(packed)) == {"site", "address", "fingerprint", "secret", "expires"}
        assert not any(key in packed for key in inner)
        assert token_of(home, site).secret not in home.roster.read_text()


def test_only_the_owner_can_read_what_is_secret(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    private = [home.authority_key, home.certificate_key, home.signing_key, *home.tokens.iterdir()]

    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}


def test_the_certificate_holds_for_the_address_and_for_this_machine(tmp_path: Path) -> None:
    home = CoordinatorHome(tmp_path / "home")

    provision(home, study(), "fl.hospital.example:9443", token_hours=1, days=30)

    names = names_in(home.certificate.read_text())
    assert set(names) == {"fl.hospital.example", "localhost", "127.0.0.1"}
    assert 29 < days_left(home.certificate.read_text(), datetime.now(UTC)) <= 30
    assert load_settings(home.settings).port == 9443


def test_places_of_data_stay_behind(tmp_path: Path) -> None:
    sites = {"east": {"role": "source", "data": "/secret/place"}}

    home = made_home(tmp_path, sites=sites)

    assert "secret" not in home.study.read_text()
    kept = Study.model_validate_json(home.study.read_text())
    assert kept.hash() == study(sites=sites).hash()


def test_every_option_is_explained(tmp_path: Path) -> None:
    lines = made_home(tmp_path).settings.read_text().splitlines()
    options = [number for number, line in enumerate(lines) if " = " in line]

    assert len(options) == 6
    assert all(lines[number - 1].startswith("# ") for number in options)


def test_an_existing_home_is_never_touched(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    before = everything_in(home.path)

    with pytest.raises(RunStateError, match="keys are never overwritten"):
        provision(home, study(), "localhost", token_hours=1, days=30)

    assert everything_in(home.path) == before


@pytest.mark.slow
def test_a_kill_at_any_file_leaves_no_half_home_and_the_next_try_works(tmp_path: Path) -> None:
    code = """
import os, signal, sys
sys.path[:0] = sys.argv[3].split(":")
left = int(sys.argv[2])
real = os.fsync
def fsync(handle):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(handle)
os.fsync = fsync
from pathlib import Path
from coordinator_homes import made_home
made_home(Path(sys.argv[1]))
"""
    for writes in (0, 2, 4, 7, 11):
        folder = tmp_path / str(writes)
        words = [sys.executable, "-c", code, str(folder), str(writes), os.pathsep.join(sys.path)]
        assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
        assert not (folder / "crisp-home").exists()

        made_home(folder)

        assert sorted(path.name for path in folder.iterdir()) == ["crisp-home"]


def test_a_new_token_ends_the_old_one_and_keeps_an_admitted_site(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    old = token_of(home, "north")
    entry = Roster.load(home.roster).entry("north")
    admitted = entry.model_copy(update={"state": "admitted", "token_used": True})
    Roster.load(home.roster).replaced(admitted).save(home.roster)

    new = invite(home, "north").token

    entry = Roster.load(home.roster).entry("north")
    assert entry.token_hash == secret_hash(new.secret) != secret_hash(old.secret)
    assert (entry.state, entry.token_used) == ("admitted", False)


def test_a_revoked_site_needs_to_be_let_in_before_it_gets_a_token(tmp_path: Path) -> None:
    home = made_home(tmp_path)

    shut_out(home, "north")

    assert not (home.tokens / "north.token").exists()
    with pytest.raises(UsageError, match="crisp sites admit north"):
        invite(home, "north")
    assert let_in(home, "north").token == token_of(home, "north")
    with pytest.raises(UsageError, match="invited"):
        let_in(home, "north")


def test_a_renewed_certificate_is_of_the_same_authority_and_for_the_present_address(
    tmp_path: Path,
) -> None:
    home = made_home(tmp_path)
    old, authority = home.certificate.read_text(), home.authority.read_text()
    text = home.settings.read_text().replace('address = "127.0.0.1', 'address = "fl.example')
    home.settings.write_text(text)

    renew_certificate(home, 100)

    assert home.certificate.read_text() != old
    assert "fl.example" in names_in(home.certificate.read_text())
    assert home.authority.read_text() == authority
    assert stat.S_IMODE(home.certificate_key.stat().st_mode) == 0o600


@pytest.mark.parametrize("method", ["local", "pooled"])
def test_a_method_that_needs_all_data_in_one_place_is_refused(tmp_path: Path, method: str) -> None:
    with pytest.raises(StudyError, match="one place"):
        made_home(tmp_path, method=method)


@pytest.mark.parametrize("address", ["", "a b", "http://x", "x:0", "x:99999", "x:y", "[::1", "a/b"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="HOST"):
        split_address(address)


def test_an_address_has_a_port_if_none_is_given() -> None:
    assert split_address("fl.example") == ("fl.example", 8443)
    assert split_address("[2001:db8::1]:443") == ("2001:db8::1", 443)


def test_settings_with_an_unknown_key_are_refused(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    home.settings.write_text(home.settings.read_text() + "adress = 1\n")

    with pytest.raises(UsageError, match="adress"):
        load_settings(home.settings)


def test_an_ipv6_address_is_written_as_in_the_certificate_and_listened_on(tmp_path: Path) -> None:
    home = CoordinatorHome(tmp_path / "home")
    provision(home, study(), "[2001:DB8:0::1]:9000", token_hours=1, days=1)

    settings = load_settings(home.settings)

    assert (settings.address, settings.listen) == ("[2001:db8::1]:9000", "[::]:9000")
    assert settings.host in names_in(home.certificate.read_text())


@pytest.mark.parametrize("hours", [float("nan"), float("inf"), 1e12, 0.0, -1.0])
def test_a_life_that_no_token_can_have_is_refused_and_nothing_is_made(
    tmp_path: Path, hours: float
) -> None:
    with pytest.raises(UsageError, match="--token-hours"):
        made_home(tmp_path, token_hours=hours)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bind", ["nonsense;", "", "0.0.0.0:1", "fl.example"])
def test_what_is_no_address_of_a_machine_is_not_listened_on(tmp_path: Path, bind: str) -> None:
    home = made_home(tmp_path)
    home.settings.write_text(home.settings.read_text().replace('"127.0.0.1"', f'"{bind}"'))

    with pytest.raises(UsageError, match="bind"):
        load_settings(home.settings)


def test_two_services_on_one_port_are_refused(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    join_port = load_settings(home.settings).join_port
    text = re.sub("superlink_port = .*", f"superlink_port = {join_port}", home.settings.read_text())
    home.settings.write_text(text)

    with pytest.raises(UsageError, match="must differ"):
        load_settings(home.settings)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----"])
def test_a_lost_authority_is_named_by_every_command_that_needs_it(
    tmp_path: Path, content: bytes | None
) -> None:
    home = made_home(tmp_path)
    home.authority.unlink()
    if content is not None:
        home.authority.write_bytes(content)

    with pytest.raises(UntrustedError, match=r"authority\.crt"):
        invite(home, "north")
    with pytest.raises(UntrustedError, match=r"authority\.crt"), connected(home):
        pass


def test_a_certificate_that_cannot_be_replaced_is_named(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    home.certificate.unlink()
    home.certificate.mkdir()

    with pytest.raises(RunStateError, match="can be written"):
        renew_certificate(home, 100)
