"""The way to the coordinator, step by step, up to how it sees this site."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime

from pydantic import ValidationError

from crisp_client.connection.call import (
    Answer,
    Clock,
    address_of,
    first_stop,
    proxy_for,
    utc_now,
)
from crisp_client.connection.explain import call
from crisp_client.connection.finding import Finding, error
from crisp_client.connection.tls import pem
from crisp_client.connection.way import way
from crisp_client.home import SiteHome
from crisp_core.errors import CrispError
from crisp_core.schema.joining import StandingAnswer, StandingRequest, standing_text
from crisp_core.schema.manifest import SiteSettings
from crisp_core.trust.certificates import days_left, read_certificate
from crisp_core.trust.keys import load_signing_key
from crisp_core.trust.signature import sign

DAYS_TO_WARN = 30
SKEW_TO_WARN_S = 2.0
LARGEST_AHEAD_S, LARGEST_BEHIND_S = 5.0, 300.0
"""Beyond these Flower refuses every message of a site."""
NTP = "set up NTP on this machine (chrony)"


def probe(settings: SiteSettings, home: SiteHome, now: Clock = utc_now) -> tuple[Finding, ...]:
    """Follow the way to the coordinator: dns, port, proxy, tls, clock, standing.

    Args:
        settings: Of this site.
        home: Where its keys are.
        now: This machine's clock; a test turns it.

    Returns:
        One finding a step, up to and with the first error.
    """
    findings: list[Finding] = []
    try:
        for finding in _steps(settings, home, now):
            findings.append(finding)
            if finding.level == "error":
                break
    except CrispError as failure:
        sentence = f"expected {failure.expected}, got {failure.got} ({failure.where})"
        findings.append(error("site", sentence, failure.fix))
    return tuple(findings)


def _steps(settings: SiteSettings, home: SiteHome, now: Clock) -> Iterator[Finding]:
    address = address_of(settings.coordinator)
    authority = _authority(home)
    yield from way(address)
    answer = call(address, _standing_request(settings.site, home, now), authority, now)
    if isinstance(answer, Finding):
        yield answer
        return
    if proxy_for(address) is not None:
        yield Finding("ok", "proxy", f"{first_stop(address)} lets {address} through")
    yield _certificate_age(answer, now)
    yield _clock(answer)
    yield _standing(answer, settings.site)


def _authority(home: SiteHome) -> str:
    """Return the pinned authority (PEM).

    Raises:
        UntrustedError: If there is none.
    """
    return read_certificate(home.authority)


def _standing_request(site: str, home: SiteHome, now: Clock) -> StandingRequest:
    time = now().isoformat(timespec="seconds")
    signature = sign(load_signing_key(home.signing_key), "standing", standing_text(site, time))
    return StandingRequest(site=site, time=time, signature=signature)


def _certificate_age(answer: Answer, now: Clock) -> Finding:
    days = days_left(pem(answer.certificate), now())
    if days < DAYS_TO_WARN:
        return Finding(
            "warning",
            "tls",
            f"the coordinator's certificate ends in {days:.0f} days",
            "Ask the coordinator to renew it",
        )
    return Finding("ok", "tls", f"certificate by the pinned authority, {days:.0f} days left")


def _clock(answer: Answer) -> Finding:
    """Compare the clocks; the coordinator's header is cut to whole seconds."""
    try:
        theirs = parsedate_to_datetime(answer.date) + timedelta(seconds=0.5)
        ahead_s = (answer.asked - theirs).total_seconds()
    except (TypeError, ValueError):
        return Finding(
            "warning", "clock", "the coordinator's answer has no date", "Check the clock by hand"
        )
    if abs(ahead_s) <= SKEW_TO_WARN_S:
        return Finding("ok", "clock", "within 2 s of the coordinator's")
    side = "ahead of" if ahead_s > 0 else "behind"
    sentence = f"this machine's clock is {abs(ahead_s):.0f} s {side} the coordinator's"
    if -LARGEST_BEHIND_S < ahead_s < LARGEST_AHEAD_S:
        return Finding("warning", "clock", sentence, NTP)
    return error("clock", f"{sentence}: every message would be refused", NTP)


def _standing(answer: Answer, site: str) -> Finding:
    try:
        standing = StandingAnswer.model_validate_json(answer.body)
    except ValidationError:
        return error(
            "standing",
            f"the coordinator answers {answer.status} without saying how this site stands",
            "Ask it to look into its logs (crisp status)",
        )
    if standing.state == "admitted":
        return Finding("ok", "standing", f"the coordinator knows site {site!r} by this key")
    if standing.state == "revoked":
        return error(
            "standing",
            f"the coordinator has revoked site {site!r}",
            f"Ask why; to come back: `crisp sites admit {site}` there, a new --home here",
        )
    return error(
        "standing",
        f"the coordinator does not know site {site!r} by this key",
        f"Join again with a new token: crisp sites token {site}",
    )
