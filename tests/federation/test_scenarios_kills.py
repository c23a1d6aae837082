"""SIGKILL of every process of a federation, each in the middle of a round of its own.

The bar: the run completes and at most that site's round is lost. How long each takes to recover is
kept for docs/reference/operations.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from federation.deployment import COORDINATOR, Federation, Run, federation, note, small_study
from federation.hosts import needs_hosts

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500), needs_hosts]

KILLS = (
    (COORDINATOR, "superlink"),
    (COORDINATOR, "superexec"),
    (COORDINATOR, "serverapp"),
    (COORDINATOR, "nginx"),
    ("east", "supernode"),
    ("east", "resident"),
    ("east", "daemon"),
    ("east", "executor"),
)
LAST = len(KILLS) + 2
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, dict[str, float]]]:
    """A run in which a process dies in every round but the first and the last."""
    tables = small_study(
        federation={"rounds": LAST, "quorum": 2, "timeout_s": TIMEOUT_S}, training={"steps": LAST}
    )
    with federation(tmp_path_factory.mktemp("killed"), tables=tables) as whole:
        whole.everybody()
        order_holds(whole, 2)
        run, seconds = whole.run(), {}
        for number, (place, child) in enumerate(KILLS, start=2):
            seconds[child] = recovery(whole, run, number, place, child)
        run.wait(limit_s=600)
        yield run, seconds


def order_holds(whole: Federation, number: int) -> None:
    """Let east and north work on this round until they are told otherwise; not on the last."""
    for site in ("east", "north"):
        whole.order(site, {"deed": "hold", "rounds": [number] if number < LAST else []})


def recovery(whole: Federation, run: Run, number: int, place: str, child: str) -> float:
    """Kill a process in the middle of a round; return the seconds until the round is averaged."""
    for site in ("east", "north"):
        whole.wait_until_did(site, 200)
    began = time.monotonic()
    old = whole.kill(place, child)
    if child == "daemon":
        whole.start(place)
    whole.wait_until_replaced(place, child, old)
    again = time.monotonic() - began
    order_holds(whole, number + 1)  # and no longer in this one, whichever process asks
    whole.wait_for(lambda: len(run.rounds) >= number, 300, f"round {number} after {child} died")
    whole_s = time.monotonic() - began
    note("kill", process=child, restarted_s=round(again, 1), round_done_s=round(whole_s, 1))
    return whole_s


def test_a_run_in_which_everything_dies_once_completes(killed) -> None:
    run, _ = killed

    assert len(run.rounds) == LAST
    assert (run.path / "model.safetensors").exists()


@pytest.mark.parametrize(("place", "child"), KILLS)
def test_a_kill_costs_at_most_that_sites_round(killed, place: str, child: str) -> None:
    run, _ = killed
    number = KILLS.index((place, child)) + 2

    missing = run.rounds[number - 1].missing
    assert set(missing) <= ({place} if place != COORDINATOR else set())


def test_no_round_is_held_up_beyond_its_deadline(killed) -> None:
    assert max(killed[1].values()) < TIMEOUT_S + 15, killed[1]
