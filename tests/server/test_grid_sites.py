from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from federation_samples import description, evaluation
from flwr.common.constant import ErrorCode
from unreliable_grid import Deployment, Fate, deployment, grid_study

from crisp_core.arrays import Parameters
from crisp_core.errors import QuorumError, SiteFailedError
from crisp_core.schema import wire
from crisp_core.schema.messages import SiteDescription
from crisp_server.flower import GridSites
from crisp_server.holdout import final_plan, hold_out, validate
from crisp_server.rounds import RoundResult, train_round
from crisp_server.sites import replies_of_all
from crisp_server.steps import TrainRound

START = {"w": np.float32([[9.0, 8.0]])}
VANISHED, CRASHED = ErrorCode.NODE_UNAVAILABLE, ErrorCode.CLIENT_APP_CRASHED
SOURCES = ["east", "north", "west"]


def one_round(
    here: Deployment, sites: GridSites, number: int = 1, start: Parameters = START
) -> RoundResult:
    step = TrainRound(generation=1, round_number=number, first_step=0, steps=1)
    return train_round(here.run.study, step, start, (), sites, here.run)


def described(here: Deployment, sites: GridSites) -> dict[str, SiteDescription]:
    plans = dict.fromkeys(here.run.study.sites)
    return replies_of_all(sites, "describe", plans, None, SiteDescription)


def took_s(began: float) -> float:
    return time.monotonic() - began


def events(here: Deployment) -> list[dict]:
    path = here.run.path / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_site_is_the_name_that_its_key_was_registered_under(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study())
    here.grid.nodes["stranger"] = 999

    assert sorted(described(here, GridSites(here.grid, here.run))) == [
        *SOURCES[:2],
        "south",
        "west",
    ]
    assert "stranger" not in {site for site, _ in here.grid.sent}


def test_a_site_that_describes_itself_under_another_name_is_refused(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study())
    here.grid.hospitals["west"].name = "east"

    with pytest.raises(SiteFailedError, match=r"untrusted: .*site.*'west'"):
        described(here, GridSites(here.grid, here.run))


def test_sites_that_come_late_are_waited_for_and_named_meanwhile(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study())
    here.grid.lose("north", 0.5)
    here.grid.lose("south", 0.7)

    found = described(here, GridSites(here.grid, here.run))

    assert set(found) == {*SOURCES, "south"}
    assert [e["sites"] for e in events(here)][:1] == [["north", "south"]]


def test_a_site_that_stays_away_ends_the_first_step_with_its_name(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study())
    here.grid.lose("south")

    with pytest.raises(SiteFailedError, match=r"no answer in time.*'south'"):
        described(here, GridSites(here.grid, here.run))


def test_a_dead_site_does_not_delay_a_round_that_has_its_quorum(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(quorum=2, timeout_s=60))
    here.grid.fates["west"] = [Fate(after_s=0.3, error=VANISHED, gone_s=1e9)]
    sites, began = GridSites(here.grid, here.run), time.monotonic()

    summaries = [one_round(here, sites, number).summary for number in (1, 2, 3)]

    assert [list(s.missing) for s in summaries] == [["west"]] * 3
    assert took_s(began) < 3


def test_an_answer_that_is_stuck_half_sent_costs_nobody_else_the_round(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(quorum=2, timeout_s=0.5))
    here.grid.fates |= {"west": [Fate(error=ErrorCode.MESSAGE_UNAVAILABLE, holds_s=0.7)]}
    here.grid.fates |= {site: [Fate(after_s=0.1)] for site in ("east", "north")}

    summary = one_round(here, GridSites(here.grid, here.run)).summary

    assert sorted(summary.trained) == ["east", "north"]
    assert list(summary.missing) == ["west"]


def test_a_site_that_comes_back_in_the_round_is_asked_again_and_counts(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study())  # quorum: all three
    here.grid.fates["west"] = [Fate(error=VANISHED, gone_s=0.4)]

    result = one_round(here, GridSites(here.grid, here.run))

    assert not result.summary.missing
    assert here.grid.sent.count(("west", "train")) == 2


def test_a_site_that_comes_back_later_is_scheduled_in_the_next_round(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(quorum=2))
    here.grid.lose("west")
    sites = GridSites(here.grid, here.run)
    first = one_round(here, sites).summary
    here.grid.lose("west", 0)
    here.grid.nodes["west"] = 777  # registered anew

    second = one_round(here, sites, 2).summary

    assert (list(first.missing), list(second.missing)) == (["west"], [])


def test_an_app_that_dies_is_asked_again_at_most_twice(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(quorum=2))
    here.grid.fates["west"] = [Fate(error=CRASHED)] * 2
    here.grid.fates["east"] = [Fate(error=CRASHED)] * 9

    result = one_round(here, GridSites(here.grid, here.run))

    assert result.summary.missing == {"east": "flower-8: The site did not finish"}
    assert here.grid.sent.count(("west", "train")) == here.grid.sent.count(("east", "train")) == 3


def test_when_every_site_fails_the_round_ends_at_once_with_the_reasons(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(timeout_s=60, quorum=2))
    here.grid.lose("north")
    for site in ("east", "west"):
        here.grid.fates[site] = [Fate(error=ErrorCode.CLIENT_APP_RAISED_EXCEPTION)]
    began = time.monotonic()

    with pytest.raises(QuorumError, match=r"got 0.*flower-2") as caught:
        one_round(here, GridSites(here.grid, here.run))

    assert took_s(began) < 3
    assert caught.value.exit_code == 3


def test_absent_sites_are_waited_for_while_they_can_still_make_the_quorum(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(quorum=2, timeout_s=60))
    here.grid.lose("north", 0.5)
    here.grid.fates["west"] = [Fate(error=ErrorCode.CLIENT_APP_RAISED_EXCEPTION)]

    result = one_round(here, GridSites(here.grid, here.run))

    assert list(result.summary.trained) == ["east", "north"]


def test_messages_expire_soon_after_their_step(tmp_path: Path) -> None:
    drop = deployment(tmp_path / "drop", grid_study(timeout_s=100))
    keep = deployment(tmp_path / "keep", grid_study(timeout_s=100, late="next-round"))
    for here in (drop, keep):
        one_round(here, GridSites(here.grid, here.run))

    assert {round(ttl) for ttl in drop.grid.ttls} == {160}
    assert {round(ttl) for ttl in keep.grid.ttls} == {260}


def test_every_question_carries_a_fresh_word_and_the_receipt_of_the_last_answer(
    tmp_path: Path,
) -> None:
    here = deployment(tmp_path, grid_study())
    sites = GridSites(here.grid, here.run)
    one_round(here, sites)
    one_round(here, sites, 2)

    first, second = here.grid.hospitals["east"].asked
    assert len({first[wire.ASK_KEY], second[wire.ASK_KEY]}) == 2
    assert len(first[wire.ASK_KEY]) == 32
    assert first[wire.RECEIPTS_KEY] == "[]"
    (receipt,) = json.loads(second[wire.RECEIPTS_KEY])
    assert receipt["record"]["ask"] == first[wire.ASK_KEY]


def test_a_late_update_is_dropped_unless_the_study_says_otherwise(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(quorum=2, timeout_s=0.5))
    here.grid.fates["west"] = [Fate(after_s=0.8)]
    sites = GridSites(here.grid, here.run)

    first, second = (one_round(here, sites, number).summary for number in (1, 2))

    assert (first.missing, second.missing) == ({"west": "no answer in time"}, {})
    assert here.grid.sent.count(("west", "train")) == 2
    assert not second.late


def test_a_late_update_counts_for_less_in_the_next_round_and_is_not_asked_for_again(
    tmp_path: Path,
) -> None:
    here = deployment(tmp_path, grid_study(quorum=2, timeout_s=0.5, late="next-round"))
    here.grid.fates["west"] = [Fate(after_s=0.8)]
    sites = GridSites(here.grid, here.run)

    first, second = (one_round(here, sites, number) for number in (1, 2))

    assert first.summary.missing == {"west": "no answer in time"}
    assert (second.summary.missing, second.summary.late) == ({}, {"west": 1})
    assert here.grid.sent.count(("west", "train")) == 1
    share = 2**-0.5  # (1 + 1)^-0.5; centres are 0, 1, 2
    expected = (START["w"] + (0 + 1 + 2 * share) / (2 + share)) / 2
    np.testing.assert_allclose(second.parameters["w"], expected, rtol=1e-6)


def test_a_straggler_is_remembered_though_another_site_had_to_be_reminded(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(quorum=2, timeout_s=0.5, late="next-round"))
    here.grid.fates["west"] = [Fate(after_s=0.8)]
    here.grid.hospitals["east"].faults = ["hints-missing"]
    sites = GridSites(here.grid, here.run)

    first, second = (one_round(here, sites, number).summary for number in (1, 2))

    assert (list(first.missing), second.late) == (["west"], {"west": 1})
    assert [site for site, _ in here.grid.sent].count("east") == 3


def test_a_late_update_of_the_generation_before_does_not_count(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(quorum=2, timeout_s=0.5, late="next-round"))
    here.grid.fates["west"] = [Fate(after_s=0.8)]
    sites = GridSites(here.grid, here.run)
    one_round(here, sites)
    step = TrainRound(generation=2, round_number=2, first_step=0, steps=1)

    result = train_round(here.run.study, step, START, (), sites, here.run)

    assert (result.summary.missing, result.summary.late) == ({}, {})
    assert here.grid.sent.count(("west", "train")) == 2


def test_the_order_of_arrival_does_not_move_a_bit_of_the_average(tmp_path: Path) -> None:
    start = {"w": np.random.default_rng(0).normal(size=(50, 50))}  # float64: every bit counts
    models = []
    for number, order in enumerate((SOURCES, SOURCES[::-1])):
        here = deployment(tmp_path / str(number), grid_study(timeout_s=20))
        for rank, site in enumerate(order):
            here.grid.hospitals[site].centre = {"east": 0.1, "north": 1 / 3, "west": 0.77}[site]
            here.grid.fates[site] = [Fate(after_s=0.3 * rank)]
        models.append(one_round(here, GridSites(here.grid, here.run), start=start))

    assert models[0].parameters["w"].tobytes() == models[1].parameters["w"].tobytes()
    assert models[0].summary == models[1].summary


def test_a_poisoned_update_is_named_its_site_stays_and_is_asked_again(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(quorum=2))
    here.grid.hospitals["west"].centre = -900.0  # the others' are 0 and 1
    sites = GridSites(here.grid, here.run)

    first = one_round(here, sites)
    here.grid.hospitals["west"].centre = 2.0
    second = one_round(here, sites, 2)

    assert "times the others'" in first.summary.missing["west"]
    np.testing.assert_allclose(first.parameters["w"], (START["w"] + 0.5) / 2)
    assert (second.summary.missing, sorted(second.summary.trained)) == ({}, SOURCES)


def test_a_refused_update_ends_the_round_if_the_quorum_needs_it(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study())
    here.grid.hospitals["west"].centre = -900.0

    with pytest.raises(QuorumError, match=r"3 updates, got 2.*west: refused"):
        one_round(here, GridSites(here.grid, here.run))


def test_a_study_may_look_at_finite_numbers_only(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(admission="finite"))
    here.grid.hospitals["west"].centre = -900.0

    assert not one_round(here, GridSites(here.grid, here.run)).summary.missing


def final(study, generation, parameters, sites) -> object:
    return hold_out(study, final_plan(study, generation, [{}]), parameters, sites)


@pytest.mark.parametrize(("absent", "asked"), [("south", final), ("west", validate)])
def test_no_figure_is_made_from_a_part_of_the_sites(tmp_path: Path, absent: str, asked) -> None:
    here = deployment(tmp_path, grid_study(timeout_s=0.5))
    for hospital in here.grid.hospitals.values():
        hospital.figures["evaluate"] = evaluation(hospital.name, [0.5]).model_dump_json()
    here.grid.fates[absent] = [Fate(after_s=60)]

    with pytest.raises(SiteFailedError, match=rf"no answer in time.*'{absent}'") as caught:
        asked(here.run.study, 1, START, GridSites(here.grid, here.run))
    assert caught.value.exit_code == 3


def test_a_figure_that_cannot_be_read_names_its_site(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study())
    here.grid.hospitals["north"].figures["describe"] = "{}"

    with pytest.raises(SiteFailedError, match=r"figures that cannot be read.*'north'"):
        described(here, GridSites(here.grid, here.run))


def test_a_well_signed_description_in_another_name_is_refused(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study())
    stolen = description("east").model_dump_json()
    here.grid.hospitals["west"].figures["describe"] = stolen

    with pytest.raises(SiteFailedError, match=r"another name than its key's.*'west'"):
        described(here, GridSites(here.grid, here.run))
