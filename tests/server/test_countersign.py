from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ConfigRecord, RecordDict
from unreliable_grid import Deployment, deployment, grid_study

from crisp_core.schema import wire
from crisp_core.schema.record import RoundRecord
from crisp_core.schema.summary import RoundSummary
from crisp_core.trust.audit import audit_coordinator
from crisp_core.trust.keys import load_signing_key, make_signing_key, public_pem
from crisp_core.trust.signature import is_signed, sign
from crisp_server.flower import GridSites
from crisp_server.roster import Roster, change_roster
from crisp_server.rounds import train_round
from crisp_server.steps import TrainRound

START = {"w": np.float32([[9.0, 8.0]])}
Tamper = Callable[[RecordDict], None]


def one_round(here: Deployment, sites: GridSites, number: int = 1) -> RoundSummary:
    step = TrainRound(generation=1, round_number=number, first_step=0, steps=1)
    return train_round(here.run.study, step, START, (), sites, here.run).summary


def coordinator_pem(here: Deployment) -> str:
    return public_pem(load_signing_key(here.home.signing_key))


def records(here: Deployment) -> list[RoundRecord]:
    entries = [e for e in here.run.ledger.entries() if e.event == "record"]
    return [RoundRecord.model_validate(entry.fields["record"]) for entry in entries]


def test_what_came_is_in_the_ledger_under_both_signatures(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study())

    summary = one_round(here, GridSites(here.grid, here.run))

    assert not summary.missing
    assert sorted(record.site for record in records(here)) == ["east", "north", "west"]
    keys = Roster.load(here.home.roster).known_keys()
    assert audit_coordinator(here.run.ledger.path, keys, coordinator_pem(here)) == ()


def test_the_study_goes_out_signed(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study())
    one_round(here, GridSites(here.grid, here.run))

    (asked,) = here.grid.hospitals["east"].asked
    signature = asked[wire.STUDY_SIGNATURE_KEY]
    assert is_signed(coordinator_pem(here), "study", asked[wire.STUDY_KEY], signature)


def config_of(content: RecordDict) -> ConfigRecord:
    return content.config_records[wire.CONFIG]


def resigned(key, **changes: str) -> Tamper:
    """A site that signs, with its own key, a record of something else."""

    def tamper(content: RecordDict) -> None:
        config = config_of(content)
        record = RoundRecord.model_validate_json(str(config[wire.RECORD_KEY]))
        text = record.model_copy(update=changes).text()
        config[wire.RECORD_KEY] = text
        config[wire.RECORD_SIGNATURE_KEY] = sign(key, "record", text)

    return tamper


def unsigned(content: RecordDict) -> None:
    config_of(content)[wire.RECORD_SIGNATURE_KEY] = ""


def without_record(content: RecordDict) -> None:
    config_of(content)[wire.RECORD_KEY] = "{}"


def other_arrays(content: RecordDict) -> None:
    content.array_records[wire.ARRAYS]["w"] = Array(np.float32([[1.0, 1.0]]))


def other_figures(content: RecordDict) -> None:
    config = config_of(content)
    config[wire.FIGURES_KEY] = str(config[wire.FIGURES_KEY]).replace("10", "1000")


def invented_fault(content: RecordDict) -> None:
    config_of(content)[wire.FAULT_KEY] = json.dumps({"code": "data", "sentence": "no"})


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (unsigned, "not signed"),
        (without_record, "no record"),
        (other_arrays, "arrays are not those"),
        (other_figures, "figures are not those"),
        (invented_fault, "fault is not the one"),
    ],
)
def test_an_answer_that_was_altered_on_its_way_does_not_count(
    tmp_path: Path, tamper: Tamper, reason: str
) -> None:
    here = deployment(tmp_path, grid_study(quorum=2))
    here.grid.hospitals["west"].tamper = tamper

    summary = one_round(here, GridSites(here.grid, here.run))

    assert summary.missing["west"].startswith("untrusted: ")
    assert reason in summary.missing["west"]
    assert {record.site for record in records(here)} == {"east", "north"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"study": "0" * 64}, "another study"),
        ({"site": "east"}, "another site"),
        ({"action": "evaluate"}, "another kind of question"),
        ({"ask": "0" * 32}, "sent twice"),
        ({"plan": "0" * 64}, "asked to do something else"),
        ({"received": "0" * 64}, "another model"),
    ],
)
def test_a_record_of_something_else_does_not_count_though_the_site_signed_it(
    tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    here = deployment(tmp_path, grid_study(quorum=2))
    west = here.grid.hospitals["west"]
    west.tamper = resigned(west.key, **changes)

    summary = one_round(here, GridSites(here.grid, here.run))

    assert reason in summary.missing["west"]


def test_an_answer_that_is_sent_again_a_round_later_does_not_count(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(quorum=2))
    west, kept = here.grid.hospitals["west"], []
    sites = GridSites(here.grid, here.run)
    west.tamper = lambda content: kept.append({**content})
    one_round(here, sites)
    west.tamper = lambda content: content.update(kept[0])

    summary = one_round(here, sites, 2)

    assert "sent twice, or of another round" in summary.missing["west"]


def test_another_sites_key_does_not_open_the_door(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(quorum=2))
    here.grid.hospitals["west"].key = here.grid.hospitals["east"].key

    summary = one_round(here, GridSites(here.grid, here.run))

    assert "not signed by the key of this site" in summary.missing["west"]


def test_a_site_that_is_revoked_between_two_rounds_no_longer_counts(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(quorum=2))
    sites = GridSites(here.grid, here.run)
    first = one_round(here, sites)

    def revoke(roster: Roster) -> Roster:
        return roster.replaced(roster.entry("west").model_copy(update={"state": "revoked"}))

    change_roster(here.home.roster, revoke)

    assert (first.missing, list(one_round(here, sites, 2).missing)) == ({}, ["west"])


def npy(header_shape: tuple[int, ...], data: bytes) -> Array:
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": header_shape}
    np.lib.format.write_array_header_1_0(file, header)
    return Array("float32", (1, 2), "numpy.ndarray", file.getvalue() + data)


def put(**arrays: Array) -> Tamper:
    return lambda content: content.array_records[wire.ARRAYS].update(arrays)


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (put(w=Array(np.zeros((4000, 4000), np.float32))), "refused: it brings more or larger"),
        (
            put(w=npy((200_000, 65_000), bytes(8))),
            "claims to be larger than it is",
        ),  # 52 GB, it says
        (put(extra=Array(np.float32([1.0]))), "refused: it brings more or larger"),
        (put(w=Array("float32", (1, 2), "numpy.ndarray", b"garbage")), "cannot be read"),
        (put(w=Array("object", (1,), "pickle", b"cos\nsystem\n.")), "cannot be read"),
        (lambda content: content.clear(), "cannot be read"),
        (lambda content: config_of(content).clear(), "cannot be read"),
    ],
)
def test_what_is_oversize_or_no_array_at_all_is_refused_unopened(
    tmp_path: Path, tamper: Tamper, reason: str
) -> None:
    here = deployment(tmp_path, grid_study(quorum=2))
    here.grid.hospitals["west"].tamper = tamper

    summary = one_round(here, GridSites(here.grid, here.run))

    assert reason in summary.missing["west"]
    assert sorted(summary.trained) == ["east", "north"]


def test_a_fault_is_recorded_and_its_sentence_stays_on_one_line(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(quorum=2))
    west = here.grid.hospitals["west"]

    def faulty(content: RecordDict) -> None:
        fault = {"code": "data", "sentence": "two\nlines " + "x" * 1000}
        config_of(content)[wire.FAULT_KEY] = json.dumps(fault)
        resigned(west.key, fault="data")(content)

    west.tamper = faulty

    summary = one_round(here, GridSites(here.grid, here.run))

    assert summary.missing["west"].startswith("data: two lines xxx")
    assert len(summary.missing["west"]) < 350
    assert {record.fault for record in records(here) if record.site == "west"} == {"data"}


def test_in_a_simulation_records_are_checked_and_the_ledger_does_not_grow(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study(quorum=2))
    facts = here.run.facts.model_copy(update={"home": ""})
    (here.run.path / "run.json").write_text(facts.model_dump_json())
    make_signing_key(tmp_path / "unknown.pem")
    for hospital in here.grid.hospitals.values():
        hospital.key = load_signing_key(tmp_path / "unknown.pem")
    here.grid.hospitals["west"].tamper = lambda content: (
        other_arrays(content) if content.array_records[wire.ARRAYS] else None
    )

    summary = one_round(here, GridSites(here.grid, here.run))

    assert "arrays are not those" in summary.missing["west"]
    assert sorted(summary.trained) == ["east", "north"]
    assert len(here.run.ledger) == 0


def test_a_site_that_joins_again_is_sent_no_receipt_of_its_former_key(tmp_path: Path) -> None:
    here = deployment(tmp_path, grid_study())
    sites = GridSites(here.grid, here.run)
    one_round(here, sites)
    public = make_signing_key(tmp_path / "new.pem")
    east = here.grid.hospitals["east"]
    east.key = load_signing_key(tmp_path / "new.pem")
    change_roster(
        here.home.roster,
        lambda roster: roster.replaced(
            roster.entry("east").model_copy(update={"signing_key": public})
        ),
    )

    one_round(here, sites, number=2)

    assert east.asked[-1][wire.RECEIPTS_KEY] == "[]"
    assert here.grid.hospitals["north"].asked[-1][wire.RECEIPTS_KEY] != "[]"
