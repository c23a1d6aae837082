"""Slow, dead and returning hospitals: one run of eight rounds in which each of them happens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from federation.deployment import Federation, Run, federation, small_study
from federation.hosts import needs_hosts

pytestmark = [
    pytest.mark.flower,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(600),
    needs_hosts,
]

TIMEOUT_S = 25
SLOW, RESTARTED, RETURNED, DEAD, LAST = 2, 4, 5, 7, 9
"""Rounds in which something happens, counted from 1."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """West is slow in one round, east is killed and returns, then is killed for good."""
    tables = small_study(
        federation={"rounds": LAST, "quorum": 1, "timeout_s": TIMEOUT_S, "late": "next-round"},
        training={"steps": LAST},
    )
    with federation(tmp_path_factory.mktemp("late"), tables=tables) as whole:
        whole.everybody()
        whole.order("west", {"deed": "slow", "seconds": TIMEOUT_S + 5, "rounds": [SLOW]})
        whole.order("east", {"deed": "hold", "rounds": [RESTARTED]})
        whole.order("north", {"deed": "hold", "rounds": [RETURNED]})
        run = whole.run()
        kill_whole_hospital(whole, "east")
        whole.order("east")
        whole.wait_until_did("north")
        whole.start("east")
        whole.order("east", {"deed": "hold", "rounds": [DEAD]})
        whole.order("north")
        kill_whole_hospital(whole, "east")
        run.wait(expect=3, limit_s=400)  # nobody is measured without the dead: S18
        whole.start("east")
        whole.run().wait(limit_s=120)
        yield run


def kill_whole_hospital(whole: Federation, site: str) -> None:
    """Wait until the hospital works, then end all of it as a power cut does."""
    whole.wait_until_did(site, 200)
    for child in ("daemon", "supernode", "executor", "resident"):
        whole.kill(site, child)
    whole.wait_for(lambda: not whole.net[site].process_ids(), 30, f"nothing runs at {site}")


def test_s3_the_others_go_on_at_the_deadline(run: Run) -> None:
    summary = run.rounds[SLOW - 1]

    assert sorted(summary.trained) == ["east", "north"]
    assert summary.missing == {"west": "no answer in time"}
    assert run.seconds_of_rounds()[SLOW - 1] < TIMEOUT_S + 10


def test_s3_the_late_update_counts_in_the_next_round_as_the_study_declares(run: Run) -> None:
    later = run.rounds[SLOW]

    assert later.late == {"west": 1}
    assert "west" in later.trained
    assert all("west" in one.trained for one in run.rounds[SLOW + 1 :])


def test_s1_a_hospital_that_is_killed_costs_its_own_round_at_most(run: Run) -> None:
    gaps = [n for n, one in enumerate(run.rounds, start=1) if "east" in one.missing]

    assert set(gaps) <= {RESTARTED, RETURNED, *range(DEAD, LAST + 1)}
    missing = [(line["round"], line["site"]) for line in run.ledger("missing")]
    assert [(number, "east") for number in gaps] == [one for one in missing if one[1] == "east"]


def test_s8_a_hospital_that_comes_back_is_asked_in_the_next_round(run: Run) -> None:
    assert "east" in run.rounds[RETURNED].trained


def test_s5_rounds_after_a_death_are_not_delayed(run: Run) -> None:
    seconds = run.seconds_of_rounds()

    assert all("east" in one.missing for one in run.rounds[DEAD - 1 :])
    assert seconds[LAST - 1] < TIMEOUT_S / 2 + max(seconds[0], 2)


def test_a_run_on_a_subset_says_degraded_and_who_was_missing_when(run: Run) -> None:
    whole = run.federation
    first = whole.type("coordinator", "crisp", "status").splitlines()[0]
    report = (run.path / "report.html").read_text()

    assert first.startswith("DEGRADED")
    assert "east" in first
    assert "DEGRADED" in report
