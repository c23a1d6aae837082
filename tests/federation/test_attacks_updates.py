"""A hostile hospital in a federation of four: one attack a round, refused by name each time.

`west` changes its answer after its own door and signs what it changed with its own key, so that
nothing but the coordinator's defence stands between it and the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from federation.deployment import COORDINATOR, Federation, Run, federation, small_study
from federation.hosts import needs_hosts

from crisp_core.trust.ledger import Ledger, verify

pytestmark = [pytest.mark.flower, pytest.mark.slow, pytest.mark.timeout(1800), needs_hosts]

ATTACKER = "west"
OVERSIZE_BYTES = 64_000_000
DEEDS = (
    {"deed": "replay"},  # first time: keep the answer
    {"deed": "times", "factor": -1},
    {"deed": "times", "factor": 100},
    {"deed": "nan"},
    {"deed": "extra-layer"},
    {"deed": "transposed"},
    {"deed": "oversize", "count_bytes": OVERSIZE_BYTES},
    {"deed": "promise"},
    {"deed": "replay"},
    {"deed": "other-study"},
    {"deed": "other-site", "site": "east"},
    {"deed": "unsigned"},
    {"deed": "altered"},
    {"deed": "speak"},
)
ROUNDS = dict(zip(count(2), DEEDS, strict=False))
"""Round 1 is honest."""
OF_THE_COORDINATOR = (
    "unsigned-study",
    "altered-study",
    "unapproved-study",
    "greedy-plan",
    "leaking-layer",
    "other-protocol",
)
"""What a hostile coordinator asks `west` for in the rounds after these."""
ASKED = dict(zip(count(len(DEEDS) + 2), OF_THE_COORDINATOR, strict=False))
LAST = max(ASKED) + 1
"""The last round is honest again."""


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Federation, Run]]:
    """A whole run in which `west` attacks in every round but the first and the last."""
    tables = small_study(
        training={"steps": 4 * LAST, "batch_size": 12, "augmentation": "none"},
        federation={"rounds": LAST, "quorum": 2, "timeout_s": 60},
    )
    folder = tmp_path_factory.mktemp("attacked")
    with federation(folder, tables=tables) as whole:
        whole.everybody()
        kept = str(folder / "kept.json")
        deeds = [{**deed, "rounds": [number], "kept": kept} for number, deed in ROUNDS.items()]
        whole.order(ATTACKER, *deeds)
        asked = [{"deed": deed, "rounds": [n], "site": ATTACKER} for n, deed in ASKED.items()]
        whole.order(COORDINATOR, *asked)
        run = whole.run()
        run.wait(limit_s=1500)
        yield whole, run


def reason(run: Run, deed: str, **how: float) -> str:
    """Say why the update of the round with this deed did not count."""
    told = {"deed": deed, **how}
    number = next(n for n, one in reversed(ROUNDS.items()) if told.items() <= one.items())
    return run.rounds[number - 1].missing[ATTACKER]


def test_an_update_a_hundred_times_too_long_is_refused(attacked) -> None:
    assert "times the others'" in reason(attacked[1], "times", factor=100)


def test_an_update_in_the_opposite_direction_is_refused(attacked) -> None:
    assert "points against the others'" in reason(attacked[1], "times", factor=-1)


def test_an_update_with_a_number_that_is_none_is_refused(attacked) -> None:
    assert "nan or infinity" in reason(attacked[1], "nan")


def test_an_extra_layer_is_refused(attacked) -> None:
    assert "an unknown array 'secret.weight'" in reason(attacked[1], "extra-layer")


def test_a_transposed_layer_is_refused(attacked) -> None:
    assert "Expected float32 (" in reason(attacked[1], "transposed")


def test_an_oversize_tensor_is_refused_before_it_is_unpacked(attacked) -> None:
    assert "more or larger arrays than were asked for" in reason(attacked[1], "oversize")


def test_a_short_array_that_promises_terabytes_is_refused(attacked) -> None:
    assert "claims to be larger than it is" in reason(attacked[1], "promise")


def test_an_update_that_is_sent_a_second_time_is_refused(attacked) -> None:
    assert "an answer sent twice" in reason(attacked[1], "replay")


def test_an_update_for_another_study_is_refused(attacked) -> None:
    assert "belongs to another study" in reason(attacked[1], "other-study")


def test_an_update_in_another_sites_name_is_refused(attacked) -> None:
    assert "names another site" in reason(attacked[1], "other-site")


def test_an_update_that_nobody_signed_is_refused(attacked) -> None:
    assert "not signed by the key of this site" in reason(attacked[1], "unsigned")


def test_an_update_that_was_altered_on_the_way_is_refused(attacked) -> None:
    assert "not those that the site let out" in reason(attacked[1], "altered")


def test_a_patients_name_in_an_error_stays_at_the_hospital(attacked) -> None:
    whole, run = attacked

    assert reason(run, "speak").startswith("crash: ")
    log = "".join(path.read_text() for path in whole.site_home(ATTACKER).path.rglob("site.log"))
    assert "Erika Mustermann" in log
    held = [path for path in whole.home.path.rglob("*") if path.is_file()]
    assert held
    assert not [path for path in held if b"Mustermann" in path.read_bytes()]


@pytest.mark.parametrize("deed", OF_THE_COORDINATOR)
def test_a_hospital_does_not_do_what_nobody_there_approved(attacked, deed: str) -> None:
    """S20, from the coordinator's side: refused at the node, and written down there."""
    whole, run = attacked
    number = next(n for n, one in ASKED.items() if one == deed)
    sentences = {
        "unsigned-study": "signed",
        "altered-study": "signed",
        "unapproved-study": "approved",
        "greedy-plan": "got 1000000000",
        "leaking-layer": "the arrays of the approved network",
        "other-protocol": "protocol",
    }

    assert ATTACKER in run.rounds[number - 1].missing
    log = (whole.site_home(ATTACKER).path / "work" / "site.log").read_text()
    assert sentences[deed] in log


def test_the_hospitals_ledger_shows_that_each_refusal_left_without_an_array(attacked) -> None:
    whole, _ = attacked

    departures = [
        line.fields["record"]
        for line in Ledger(whole.site_home(ATTACKER).ledger).entries()
        if line.event == "departure" and line.fields["record"]["action"] == "train"
    ]
    faulty = [one for one in departures if one["fault"]]
    assert len(faulty) == len(ASKED) + 1  # and the round in which training itself failed
    assert all(one["returned"] == "" for one in faulty)


def test_the_attacker_stays_in_the_study_and_counts_where_it_is_honest(attacked) -> None:
    run = attacked[1]

    honest = [n for n, one in enumerate(run.rounds, start=1) if ATTACKER in one.trained]
    kept = next(n for n, deed in ROUNDS.items() if deed["deed"] == "replay")
    assert honest == [1, kept, LAST]


def test_the_honest_hospitals_count_in_every_round(attacked) -> None:
    assert all({"east", "north"} <= set(one.trained) for one in attacked[1].rounds)


def test_the_model_is_finite_and_moved_no_further_than_honest_training_moves_it(attacked) -> None:
    from crisp_core.files.checkpoint import read_parameters

    model, _ = read_parameters(attacked[1].path / "model.safetensors")

    assert all(np.isfinite(array).all() for array in model.values())
    assert max(float(np.abs(array).max()) for array in model.values() if array.size) < 100


def test_the_run_says_on_its_first_line_that_somebody_was_missing(attacked) -> None:
    said = attacked[0].type(COORDINATOR, "crisp", "status")

    assert said.lstrip().startswith("DEGRADED")
    assert ATTACKER in said.splitlines()[0]


def test_the_ledgers_hold_and_comparing_them_shows_what_the_attacker_changed(attacked) -> None:
    whole, run = attacked
    honest, hostile = (str(whole.site_home(site).ledger) for site in ("east", ATTACKER))

    words = ("crisp", "audit", "--site-ledger")
    whole.type(COORDINATOR, *words, honest, "--site", "east")
    said = whole.type(COORDINATOR, *words, hostile, "--site", ATTACKER, expect=3)

    assert verify(run.path / "ledger.jsonl") is None
    assert ATTACKER in said
    whole.type("east", "crisp-client", "audit")


def test_a_tampered_ledger_line_is_named(attacked, tmp_path: Path) -> None:
    whole, run = attacked
    ledger = run.path / "ledger.jsonl"
    before = ledger.read_bytes()
    lines = before.decode().splitlines(keepends=True)
    number = next(i for i, line in enumerate(lines) if '"admitted"' in line)
    entry = json.loads(lines[number])
    entry["fields"]["cases"] = 1_000_000
    lines[number] = json.dumps(entry, sort_keys=True) + "\n"

    ledger.write_text("".join(lines))
    try:
        said = whole.type(COORDINATOR, "crisp", "audit", expect=3)
    finally:
        ledger.write_bytes(before)

    assert f"ledger.jsonl:{number + 1}: Changed" in said
