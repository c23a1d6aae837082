"""The whole preflight: connection, machine, keys, policy, then every case."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from crisp_client.connection import Clock, Finding, probe, utc_now
from crisp_client.home import SiteHome
from crisp_client.preflight.images import Watched, look_at_cases
from crisp_client.preflight.machine import device, disk, keys, software
from crisp_client.preflight.studies import approval, cohort, newest_study
from crisp_client.settings import load_settings
from crisp_core.errors import CrispError
from crisp_core.schema.manifest import SiteSettings

OnCase = Callable[[int, int], None]


def _unseen(_done: int, _total: int) -> None:
    """Show nobody how far it is."""


def preflight(
    home: SiteHome, now: Clock = utc_now, on_case: OnCase = _unseen
) -> tuple[Finding, ...]:
    """Look at everything that `findings` yields."""
    return tuple(findings(home, now, on_case))


def findings(home: SiteHome, now: Clock = utc_now, on_case: OnCase = _unseen) -> Iterator[Finding]:
    """Yield one finding after the other, as each is known; nothing leaves but the probe.

    Args:
        home: Of this site.
        now: This machine's clock.
        on_case: Is told after each case how many are done, of how many.
    """
    try:
        settings = load_settings(home.settings)
    except CrispError as error:
        yield failed("settings", error)
        return
    yield from probe(settings, home, now)
    yield from _here(home, settings, on_case)


def failed(what: str, error: CrispError) -> Finding:
    """Turn an error into a finding."""
    sentence = f"expected {error.expected}, got {error.got} ({error.where})"
    return Finding("error", what, sentence, error.fix)


def _here(home: SiteHome, settings: SiteSettings, on_case: OnCase) -> Iterator[Finding]:
    """Look at what needs no network; one thing that is wrong hides no other."""
    yield software()
    steps: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("device", lambda: device(settings)),
        ("keys", lambda: keys(home)),
    )
    for what, step in steps:
        yield from _guarded(what, step)
    try:
        study = newest_study(home)
    except CrispError as error:
        yield failed("study", error)
        study = None
    if study is None:
        yield Finding("warning", "study", "no study has reached this site", "Join again")
    else:
        yield from _guarded("policy", lambda: approval(home, study))
    watched = Watched(settings, study, on_case)
    yield from _guarded("data", lambda: look_at_cases(watched))
    if study is not None:
        yield from _guarded("cohort", lambda: cohort(home, settings, study))
    yield from _guarded("disk", lambda: disk(settings, watched.cache_bytes))


def _guarded(what: str, step: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from step()
    except CrispError as error:
        yield failed(what, error)
