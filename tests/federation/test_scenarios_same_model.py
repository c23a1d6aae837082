"""The same study gives the same model: over TLS, in any order of arrival, whatever died."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from federation.deployment import COORDINATOR, Federation, Run, federation, simulated, small_study
from federation.hosts import needs_hosts

pytestmark = [pytest.mark.flower, pytest.mark.slow, pytest.mark.timeout(600), needs_hosts]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Four connected hospitals and a study of two generations with hints."""
    tables = small_study(
        crisp={"generations": 2, "phase_shares": [1, 1]},
        federation={"rounds": 1, "quorum": 3, "timeout_s": 120},
        evaluation={"select": "worst-site"},
        training={"steps": 8},
    )
    with federation(tmp_path_factory.mktemp("same"), tables=tables) as running:
        running.everybody()
        yield running


@pytest.fixture(scope="module")
def first(whole: Federation) -> Run:
    """A run in which the two largest sites take 6 s longer to describe themselves (S4)."""
    for site in ("east", "north"):
        whole.order(site, {"deed": "late", "seconds": 6, "action": "describe"})
    run = whole.run()
    run.wait(limit_s=240)
    for site in ("east", "north"):
        whole.order(site)
    run.path = whole.set_aside()
    return run


def test_s4_sites_that_are_six_seconds_late_at_configuration_are_waited_for(first: Run) -> None:
    saved = first.folder.load()

    assert sorted(saved[1].sites) == ["east", "north", "south", "west"]
    assert first.trained == [["east", "north", "west"]] * 2
    asked = next(e["time"] for e in first.events() if e["event"] == "asked")
    described = next(e["time"] for e in first.events() if e["event"] == "saved")
    assert described - asked >= 6


def test_a_study_over_tls_ends_with_the_bytes_of_the_inline_engine(
    whole: Federation, first: Run, tmp_path: Path
) -> None:
    inline = simulated(whole, tmp_path / "inline")

    assert (inline.path / "model.safetensors").read_bytes() == first.model()


@pytest.mark.long
def test_s22_another_order_of_arrival_gives_the_same_bytes(whole: Federation, first: Run) -> None:
    expected, order = first.model(), arrivals(first)
    whole.order(order[0], {"deed": "late", "seconds": 5})

    again = run_again(whole)
    whole.order(order[0])

    assert arrivals(again) != order
    assert again.model() == expected


@pytest.mark.long
def test_s7_a_server_that_dies_while_it_writes_goes_on_from_the_state_before(
    whole: Federation, first: Run
) -> None:
    expected = first.model()
    whole.order(COORDINATOR, {"deed": "die-writing", "least_bytes": 100_000, "deaths": 2})

    again = run_again(whole)
    whole.order(COORDINATOR)

    assert again.count(event="started") == 3  # two deaths
    assert again.model() == expected
    assert not list(again.path.rglob("*.crisp-tmp"))


def run_again(whole: Federation) -> Run:
    """Run the study once more from its beginning."""
    run = whole.run()
    run.wait(limit_s=300)
    run.path = whole.set_aside()
    return run


def arrivals(run: Run) -> list[str]:
    """Return the sites in the order in which the first round's updates came."""
    train = [e for e in run.events() if e["event"] == "answered" and e["action"] == "train"]
    return [event["site"] for event in train[:3]]
