from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crisp_core.errors import UntrustedError
from crisp_core.trust.tokens import PREFIX, JoinToken, read_token, secret_hash

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TOKEN = JoinToken("east", "fl.example:8443", "ab" * 32, "cd" * 16, NOW + timedelta(hours=72))

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
hosts = st.one_of(
    st.from_regex(r"[a-z0-9][a-z0-9.-]{0,60}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map("[{}]".format),
)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
tokens = st.builds(
    JoinToken,
    site=names,
    address=st.builds("{}:{}".format, hosts, st.integers(1, 65535)),
    fingerprint=st.binary(min_size=32, max_size=32).map(bytes.hex),
    secret=st.binary(min_size=16, max_size=16).map(bytes.hex),
    expires=st.datetimes(datetime(2027, 1, 1), datetime(2099, 1, 1), timezones=zones),  # noqa: DTZ001 - hypothesis adds the zone
)


def packed(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return PREFIX + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def fields(**changes):
    value = {name: getattr(TOKEN, name) for name in ("site", "address", "fingerprint", "secret")}
    return {**value, "expires": TOKEN.expires.isoformat(), **changes}


@given(tokens)
def test_a_token_is_read_back_as_it_was_written(token):
    assert read_token(token.text(), NOW) == token


def test_a_token_is_one_short_line_that_a_mail_may_break(tmp_path):
    text = TOKEN.text()

    assert text.startswith("crisp1.")
    assert len(text) < 400
    assert text.isascii()
    assert text.split() == [text]
    assert read_token(f"\n {text[:50]}\r\n\t{text[50:]} \n", NOW) == TOKEN


def test_the_secret_is_not_in_what_a_log_would_show():
    assert TOKEN.secret not in repr(TOKEN)


def test_the_coordinator_keeps_a_hash_from_which_the_secret_does_not_come_back():
    assert secret_hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert TOKEN.secret not in secret_hash(TOKEN.secret)


def test_a_token_ends_at_its_hour_and_says_how_to_get_another():
    last = TOKEN.expires - timedelta(microseconds=1)

    assert read_token(TOKEN.text(), last) == TOKEN
    with pytest.raises(UntrustedError, match=r"ended 2026-11-23T12:00\+00:00.*sites token east"):
        read_token(TOKEN.text(), TOKEN.expires)


@given(st.integers(0, 500))
def test_a_token_that_was_cut_is_garbled(length):
    text = TOKEN.text()

    with pytest.raises(UntrustedError, match="Copy the whole token"):
        read_token(text[: min(length, len(text) - 1)], NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "crisp1.",
        TOKEN.text().replace("crisp1.", "crisp2."),
        TOKEN.text().removeprefix("crisp1."),
        TOKEN.text() + "é",
        TOKEN.text() + "!",
        TOKEN.text()[:40] + "!!!!" + TOKEN.text()[40:],
        PREFIX + "A" * 4000,
        packed(b"\xff\xfe"),
        packed(b"[" * 1400),
        packed([]),
        packed({}),
        packed("text"),
        packed(fields(role="source")),
        packed(json.dumps(fields()).encode() + b" " * 2000),
    ],
)
def test_what_is_no_token_is_garbled(text):
    with pytest.raises(UntrustedError, match="cannot be read as one"):
        read_token(text, NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"site": "../east"},
        {"site": "east\n"},
        {"site": 1},
        {"site": ""},
        {"address": "fl.example"},
        {"address": "https://fl.example:8443"},
        {"address": "user@fl.example:8443"},
        {"address": "fl.example:8443/path"},
        {"address": "::1:8443"},
        {"fingerprint": "ab" * 31},
        {"fingerprint": "AB" * 32},
        {"secret": None},
        {"secret": "cd" * 17},
        {"expires": "2026-11-23T12:00:00"},
        {"expires": "2026-13-23T12:00:00+00:00"},
        {"expires": "tomorrow"},
    ],
)
def test_a_token_with_one_field_that_cannot_be_is_garbled(change):
    with pytest.raises(UntrustedError, match="cannot be read as one"):
        read_token(packed(fields(**change)), NOW)
