from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from federation_samples import trained
from hospital import Hospital, hospital

from crisp_client.outbox import Departure
from crisp_client.policy import Spent
from crisp_client.records import recorded, signed, spent_on
from crisp_client.requests import Question
from crisp_core.errors import UntrustedError
from crisp_core.schema.messages import SiteFault
from crisp_core.trust.ledger import Ledger

QUESTION = Question("train", "study", plan="plan", ask="a" * 32)
ANSWER = Departure(
    figures=trained(), parameters={"w": np.float32([1])}, case_count=3, patients=3, epochs=0.5
)


@pytest.fixture
def place(tmp_path: Path) -> Hospital:
    return hospital(tmp_path, approved=False)


def test_a_record_says_in_hashes_what_was_asked_and_what_leaves() -> None:
    record = recorded("east", QUESTION, ANSWER).record

    # printf study | sha256sum, and so on
    assert record.study.startswith("0c87ed81")
    assert record.plan.startswith("64879f7d")
    assert (record.site, record.action, record.ask) == ("east", "train", "a" * 32)
    assert (record.received, len(record.returned), record.fault) == ("", 64, "")
    assert record.bytes_out == 4 + len(trained().model_dump_json())


def test_a_fault_is_recorded_by_its_code_alone() -> None:
    fault = Departure(fault=SiteFault(code="data", sentence="A case cannot be used"))

    record = recorded("east", QUESTION, fault).record

    assert (record.fault, record.returned, record.bytes_out) == ("data", "", 0)


def test_only_rounds_of_this_study_that_were_trained_are_counted(place: Hospital) -> None:
    fault = Departure(fault=SiteFault(code="data", sentence=""))
    other = Question("train", "another study")
    measure = Question("evaluate", "study")
    for question, departure in [
        (QUESTION, ANSWER),
        (QUESTION, fault),
        (other, ANSWER),
        (measure, ANSWER),
        (QUESTION, ANSWER),
    ]:
        signed(recorded("east", question, departure), place.home)

    study_hash = recorded("east", QUESTION, ANSWER).record.study
    assert spent_on(study_hash, Ledger(place.home.ledger).entries()) == Spent(2, 1.0, 1)


def test_nothing_is_signed_with_a_key_that_others_can_read(place: Hospital) -> None:
    place.home.signing_key.chmod(0o640)

    with pytest.raises(UntrustedError, match="0640"):
        signed(recorded("east", QUESTION, ANSWER), place.home)
    assert len(Ledger(place.home.ledger)) == 0
