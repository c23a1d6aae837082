from __future__ import annotations

import re
from pathlib import Path

import pytest
from hospital import NOW, Hospital, hospital
from typer.testing import CliRunner

from crisp_client.approval import approve, network_of, plain_words, write_policy
from crisp_client.cli import app
from crisp_client.policy import architecture_hash, load_policy
from crisp_core.errors import PolicyError, UntrustedError
from crisp_core.schema.policy import Policy
from crisp_core.trust.ledger import Ledger


@pytest.fixture
def place(tmp_path: Path) -> Hospital:
    return hospital(tmp_path, approved=False)


def study_file(place: Hospital) -> Path:
    path = place.home.path / "study.json"
    path.write_text(place.signed.model_dump_json())
    return path


def test_an_approval_names_the_study_its_network_and_the_time(place: Hospital) -> None:
    assert approve(place.home, place.signed, NOW)

    (approved,) = load_policy(place.home.policy).studies
    assert (approved.name, approved.hash) == ("tiny", place.study.hash())
    assert approved.architecture == architecture_hash(network_of(place.study))
    assert approved.approved == "2026-11-20T12:00:00+00:00"


def test_a_persons_comments_and_options_outlive_an_approval(place: Hospital) -> None:
    place.home.policy.write_text("# ours, do not touch\nmin_cohort = 7  # the board says so")

    approve(place.home, place.signed, NOW)

    text = place.home.policy.read_text()
    assert text.startswith("# ours, do not touch\nmin_cohort = 7  # the board says so\n")
    assert load_policy(place.home.policy).min_cohort == 7


def test_a_study_is_approved_once(place: Hospital) -> None:
    approve(place.home, place.signed, NOW)
    text = place.home.policy.read_text()

    assert not approve(place.home, place.signed, NOW)
    assert place.home.policy.read_text() == text


def test_a_study_that_the_coordinator_did_not_sign_cannot_be_approved(place: Hospital) -> None:
    text = place.signed.study.replace('"steps":12', '"steps":99')
    altered = place.signed.model_copy(update={"study": text})

    with pytest.raises(UntrustedError):
        approve(place.home, altered, NOW)
    assert load_policy(place.home.policy).studies == ()


def test_nothing_is_approved_into_a_policy_that_cannot_be_read(place: Hospital) -> None:
    place.home.policy.write_text("min_cohrt = 3\n")

    with pytest.raises(PolicyError, match="min_cohort"):
        approve(place.home, place.signed, NOW)
    assert place.home.policy.read_text() == "min_cohrt = 3\n"


def test_a_policy_that_is_there_is_never_written_over(place: Hospital) -> None:
    place.home.policy.write_text("min_cohort = 9\n")

    write_policy(place.home, min_cohort=5)

    assert place.home.policy.read_text() == "min_cohort = 9\n"


def test_plain_words_say_what_is_done_what_leaves_and_what_stays(place: Hospital) -> None:
    words = "\n".join(plain_words(place.study, Policy()))

    size = sum(array.nbytes for array in network_of(place.study).values()) / 1e6
    for part in (
        "ring, inner",
        "Training at east, north",
        "Held out: south",
        "4 rounds, 12 training steps",
        f"{size:.1f} MB",
        "Stays: images, masks",
        "fewer than 5 patients",
    ):
        assert part in words


def test_plain_words_say_which_limits_of_the_policy_bind(place: Hospital) -> None:
    strict = Policy(actions=("describe",), max_rounds=3, metrics=("dice",), max_norm_out=2.0)

    words = "\n".join(plain_words(place.study, strict))

    for part in (
        "refuses evaluate, hints, train",
        "after 3 of its 4 rounds",
        "keeps core_precision",
        "L2 norm 2 at most",
    ):
        assert part in words


def test_approving_asks_a_person_who_may_say_no(place: Hospital) -> None:
    command = ["approve", str(study_file(place)), "--home", str(place.home.path)]

    declined = CliRunner().invoke(app, command, input="n\n")
    assert declined.exit_code == 1
    assert load_policy(place.home.policy).studies == ()

    agreed = CliRunner().invoke(app, command, input="y\n")
    assert agreed.exit_code == 0
    assert len(load_policy(place.home.policy).studies) == 1

    again = CliRunner().invoke(app, [*command, "--yes"])
    assert (again.exit_code, "approved before" in again.stderr) == (0, True)


def test_a_file_that_is_no_signed_study_is_told(place: Hospital) -> None:
    for name, got in [("site.toml", "something else"), ("nothing.json", "no file")]:
        command = ["approve", str(place.home.path / name), "--home", str(place.home.path)]
        result = CliRunner().invoke(app, command)
        assert (result.exit_code, got in result.stderr) == (3, True)


def test_an_audit_names_the_line_that_was_changed(place: Hospital) -> None:
    ledger = Ledger(place.home.ledger)
    for number in range(3):
        ledger.append("note", number=number)
    command = ["audit", "--home", str(place.home.path)]

    whole = CliRunner().invoke(app, command)
    assert (whole.exit_code, "every line holds" in whole.stderr) == (0, True)

    text = place.home.ledger.read_text()
    place.home.ledger.write_text(re.sub(r'"number": 1}', '"number": 5}', text, count=1))
    broken = CliRunner().invoke(app, command)
    assert (broken.exit_code, "ledger.jsonl:2" in broken.stderr) == (3, True)
