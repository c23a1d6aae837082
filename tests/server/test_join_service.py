from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from coordinator_homes import (
    asked,
    join_request,
    keys_of,
    made_home,
    needs_nginx,
    nginx_running,
    posted,
    study,
)

from crisp_core.schema.joining import JoinAnswer, StandingAnswer, standing_text
from crisp_core.trust.keys import load_signing_key
from crisp_core.trust.signature import sign
from crisp_core.trust.signed_study import opened_study
from crisp_server.deployment.control import app_hash
from crisp_server.deployment.invitations import invite, let_in, shut_out
from crisp_server.deployment.join_service import JoinService, serving
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster, change_roster

pytestmark = needs_nginx
JOINED: list[str] = []


@contextmanager
def open_door(home: CoordinatorHome, lines: list[str] | None = None) -> Iterator[None]:
    said: list[str] = [] if lines is None else lines
    with nginx_running(home) as settings:
        service = JoinService(home, lambda: JOINED.append("joined"))
        with serving(service, settings.join_port, said.append):
            yield


@pytest.fixture
def home(tmp_path: Path) -> Iterator[CoordinatorHome]:
    made = made_home(tmp_path)
    with open_door(made):
        yield made


def keys(folder: Path, name: str = "keys") -> dict[str, str]:
    return keys_of(folder / name)


def standing(folder: Path, site: str, at: datetime) -> dict[str, str]:
    key, time = load_signing_key(folder / "signing.pem"), at.isoformat()
    signature = sign(key, "standing", standing_text(site, time))
    return {"want": "standing", "site": site, "time": time, "signature": signature}


def test_a_token_and_two_keys_give_the_signed_study_and_a_place(
    home: CoordinatorHome, tmp_path: Path
) -> None:
    mine, before = keys(tmp_path), len(JOINED)

    status, answer = posted(home, join_request(home, "north", mine))

    told = JoinAnswer.model_validate_json(json.dumps(answer))
    assert (status, told.site, told.app) == (200, "north", app_hash())
    assert opened_study(told.study, told.coordinator_key).hash() == study().hash()
    entry = Roster.load(home.roster).entry("north")
    assert (entry.state, entry.signing_key) == ("admitted", mine["signing_key"])
    assert len(JOINED) == before + 1


def test_the_authority_is_given_to_anybody(home: CoordinatorHome) -> None:
    assert posted(home, {"want": "authority"}) == (200, {"authority": home.authority.read_text()})


def test_the_same_keys_may_ask_again_for_a_lost_answer(
    home: CoordinatorHome, tmp_path: Path
) -> None:
    request = join_request(home, "north", keys(tmp_path))

    assert posted(home, request) == posted(home, request)


def test_a_token_that_was_used_takes_no_other_keys(home: CoordinatorHome, tmp_path: Path) -> None:
    mine = keys(tmp_path)
    posted(home, join_request(home, "north", mine))

    status, answer = posted(home, join_request(home, "north", keys(tmp_path, "others")))

    assert status == 409
    assert "used before" in answer["error"]
    assert Roster.load(home.roster).entry("north").node_key == mine["node_key"]


def test_half_of_the_same_keys_is_not_the_same_keys(home: CoordinatorHome, tmp_path: Path) -> None:
    mine = keys(tmp_path)
    posted(home, join_request(home, "north", mine))
    other = keys(tmp_path, "others")

    mixed = {"node_key": mine["node_key"], "signing_key": other["signing_key"]}

    assert posted(home, join_request(home, "north", mixed))[0] == 409


def test_an_expired_token_is_refused_even_to_the_keys_that_used_it(
    home: CoordinatorHome, tmp_path: Path
) -> None:
    request = join_request(home, "north", keys(tmp_path))
    posted(home, request)
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    change_roster(
        home.roster,
        lambda r: r.replaced(r.entry("north").model_copy(update={"token_expires": past})),
    )

    status, answer = posted(home, request)

    assert status == 410
    assert "expired" in answer["error"]


def test_the_word_of_another_site_and_an_unknown_site_get_the_same_refusal(
    home: CoordinatorHome, tmp_path: Path
) -> None:
    request = join_request(home, "north", keys(tmp_path))

    answers = [posted(home, request | {"site": site}) for site in ("south", "nowhere")]

    assert answers[0] == answers[1]
    assert answers[0][0] == 403


def test_keys_that_another_site_uses_are_refused(home: CoordinatorHome, tmp_path: Path) -> None:
    mine = keys(tmp_path)
    posted(home, join_request(home, "north", mine))

    assert posted(home, join_request(home, "south", mine))[0] == 409


def test_a_revoked_site_comes_back_with_new_keys_only(
    home: CoordinatorHome, tmp_path: Path
) -> None:
    mine = keys(tmp_path)
    request = join_request(home, "north", mine)
    posted(home, request)
    shut_out(home, "north")
    assert posted(home, request)[0] == 403

    let_in(home, "north")

    assert posted(home, join_request(home, "north", mine))[0] == 409
    assert posted(home, join_request(home, "north", keys(tmp_path, "new")))[0] == 200


def test_a_reinstalled_site_replaces_its_keys_with_a_new_token(
    home: CoordinatorHome, tmp_path: Path
) -> None:
    posted(home, join_request(home, "north", keys(tmp_path)))
    invite(home, "north")
    new = keys(tmp_path, "new")

    assert posted(home, join_request(home, "north", new))[0] == 200
    assert Roster.load(home.roster).entry("north").signing_key == new["signing_key"]


@pytest.mark.parametrize(
    "change",
    [
        {"node_key": "ssh-rsa AAAA"},
        {"node_key": "../../etc/passwd"},
        {"signing_key": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"},
        {"secret": "x"},
        {"extra": "x"},
        {"want": "everything"},
        {"site": ""},
    ],
)
def test_what_is_no_request_changes_nothing(
    home: CoordinatorHome, tmp_path: Path, change: dict[str, str]
) -> None:
    before = home.roster.read_bytes()

    status, answer = posted(home, join_request(home, "north", keys(tmp_path)) | change)

    assert status == 400
    assert set(answer) == {"error"}
    assert home.roster.read_bytes() == before


def test_garbage_and_floods_are_refused(home: CoordinatorHome) -> None:
    assert asked(home, "POST", "/v1/join", "{" * 1000)[0] == 400
    assert asked(home, "POST", "/v1/join", "")[0] == 400
    assert asked(home, "POST", "/v1/join", "x" * 70_000)[0] == 413
    assert asked(home, "GET", "/v1/join")[0] == 403


def test_a_site_learns_its_standing_whatever_its_clock_says(
    home: CoordinatorHome, tmp_path: Path
) -> None:
    posted(home, join_request(home, "north", keys(tmp_path)))
    request = standing(tmp_path / "keys", "north", datetime(2020, 1, 1, tzinfo=UTC))

    status, answer = posted(home, request)

    told = StandingAnswer.model_validate_json(json.dumps(answer))
    assert (status, told.state) == (200, "admitted")
    assert told.study is not None
    assert abs(datetime.fromisoformat(told.time) - datetime.now(UTC)) < timedelta(seconds=10)


def test_nobody_else_learns_the_standing_of_a_site(home: CoordinatorHome, tmp_path: Path) -> None:
    posted(home, join_request(home, "north", keys(tmp_path)))
    keys(tmp_path, "stranger")
    now = datetime.now(UTC)

    forged = posted(home, standing(tmp_path / "stranger", "north", now))[1]
    absent = posted(home, standing(tmp_path / "keys", "nowhere", now))[1]
    invited = posted(home, standing(tmp_path / "keys", "south", now))[1]

    assert {answer["state"] for answer in (forged, absent, invited)} == {"unknown"}
    assert {answer["study"] for answer in (forged, absent, invited)} == {None}


def test_a_revoked_site_is_told_so_and_gets_no_study(home: CoordinatorHome, tmp_path: Path) -> None:
    posted(home, join_request(home, "north", keys(tmp_path)))
    shut_out(home, "north")

    answer = posted(home, standing(tmp_path / "keys", "north", datetime.now(UTC)))[1]

    assert (answer["state"], answer["study"]) == ("revoked", None)


def test_no_line_holds_a_word_or_a_key(tmp_path: Path) -> None:
    home, lines = made_home(tmp_path), []
    request = join_request(home, "north", keys(tmp_path))

    with open_door(home, lines):
        posted(home, request)
        posted(home, request | {"secret": "0" * 32})
        posted(home, join_request(home, "north", keys(tmp_path, "others")))

    assert len(lines) == 2
    assert not any(request["secret"] in line or "0" * 32 in line or "ssh" in line for line in lines)


def test_guessing_is_slow(home: CoordinatorHome, tmp_path: Path) -> None:
    request = join_request(home, "north", keys(tmp_path)) | {"secret": "0" * 32}
    began = datetime.now(UTC)

    posted(home, request)

    assert datetime.now(UTC) - began > timedelta(seconds=0.5)


def test_keys_that_a_site_had_before_stay_known_and_never_let_it_in_again(
    home: CoordinatorHome, tmp_path: Path
) -> None:
    first, second = keys(tmp_path), keys(tmp_path, "second")
    posted(home, join_request(home, "north", first))
    invite(home, "north")
    posted(home, join_request(home, "north", second))
    invite(home, "north")

    assert posted(home, join_request(home, "north", first))[0] == 409
    assert posted(home, join_request(home, "south", first))[0] in (403, 409)
    known = Roster.load(home.roster).known_keys()["north"]
    assert known[0] == second["signing_key"]
    assert first["signing_key"] in known
