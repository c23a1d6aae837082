"""A hospital's ClientApp, asked by a coordinator that is honest, careless or hostile."""

from __future__ import annotations

import io
import json
import re
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from hospital import Hospital, hospital, resident
from synthetic import write_site

from crisp_client.approval import network_of
from crisp_client.flower import app
from crisp_core.files.checkpoint import content_hash
from crisp_core.schema import wire
from crisp_core.schema.messages import EvaluatePlan, HintPlan, SiteFault, TrainPlan
from crisp_core.schema.record import Action, Receipt, RoundRecord
from crisp_core.trust.audit import audit_site
from crisp_core.trust.keys import load_signing_key, make_signing_key
from crisp_core.trust.ledger import Ledger
from crisp_core.trust.signature import is_signed, sign

ASK = "0123456789abcdef" * 2
TRAIN = TrainPlan(generation=1, round_number=1, first_step=0, steps=2, models=())
EVALUATE = EvaluatePlan(purpose="final", generation=1, recursions=1)
HINTS = HintPlan(generation=2, models=("m1",))


def asked(
    place: Hospital, action: Action, plan: str = "", arrays: Any = None, /, **config: Any
) -> Message:
    """Build a message of the coordinator; `config` replaces what an honest one says."""
    TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, 1
    signed = place.signed
    texts = {
        wire.PROTOCOL_KEY: wire.PROTOCOL,
        wire.STUDY_KEY: signed.study,
        wire.STUDY_SIGNATURE_KEY: signed.signature,
        wire.PLAN_KEY: plan,
        wire.ASK_KEY: ASK,
        wire.RECEIPTS_KEY: "[]",
    }
    record = ArrayRecord({name: as_sent(array) for name, array in (arrays or {}).items()})
    content = RecordDict({wire.ARRAYS: record, wire.CONFIG: ConfigRecord({**texts, **config})})
    message = Message(content, 2, wire.MESSAGE_TYPES[action])
    message.metadata.__dict__["_message_id"] = "1"
    return message


def as_sent(array: np.ndarray | Array) -> Array:
    return array if isinstance(array, Array) else Array(array)


def context(place: Hospital) -> Context:
    node = {"site-settings": str(place.home.settings), "partition-id": 0}
    return Context(1, 2, node, RecordDict(), {"run": "/nowhere"})


def answer(place: Hospital, action: Action, *args: Any, **config: Any) -> RecordDict:
    return app(message=asked(place, action, *args, **config), context=context(place)).content


def fault_in(content: RecordDict) -> str:
    text = str(content.config_records[wire.CONFIG][wire.FAULT_KEY])
    return SiteFault.model_validate_json(text).code if text else ""


def record_in(content: RecordDict) -> RoundRecord:
    return RoundRecord.model_validate_json(
        str(content.config_records[wire.CONFIG][wire.RECORD_KEY])
    )


def trained(place: Hospital) -> RecordDict:
    return answer(place, "train", TRAIN.model_dump_json(), network_of(place.study))


def every_byte(content: RecordDict) -> bytes:
    """All that leaves: texts, numbers and arrays."""
    parts = [repr(dict(record)).encode() for record in content.config_records.values()]
    parts += [repr(dict(record)).encode() for record in content.metric_records.values()]
    parts += [
        name.encode() + array.data
        for record in content.array_records.values()
        for name, array in record.items()
    ]
    return b"\n".join(parts)


@pytest.fixture
def place(tmp_path: Path) -> Hospital:
    return hospital(tmp_path)


def test_a_departure_is_signed_and_in_the_ledger_before_it_leaves(place: Hospital) -> None:
    sent = network_of(place.study)

    content = answer(place, "train", TRAIN.model_dump_json(), sent)

    record = record_in(content)
    arrays = {n: array.numpy() for n, array in content.array_records[wire.ARRAYS].items()}
    assert (record.study, record.site, record.ask) == (place.study.hash(), "east", ASK)
    assert (record.received, record.returned) == (content_hash(sent), content_hash(arrays))
    signature = str(content.config_records[wire.CONFIG][wire.RECORD_SIGNATURE_KEY])
    assert is_signed(place.site_pem, "record", record.text(), signature)
    (entry,) = Ledger(place.home.ledger).entries()
    assert entry.event == "departure"
    assert entry.fields["record"] == record.model_dump(mode="json")
    assert entry.fields["site_signature"] == signature
    findings = audit_site(place.home.ledger, place.site_pem, place.coordinator_pem)
    assert not [finding for finding in findings if finding.level == "error"]


def test_an_answer_that_cannot_be_written_down_does_not_leave(place: Hospital) -> None:
    place.home.ledger.mkdir()

    content = trained(place)

    assert fault_in(content) == "state"
    assert not content.array_records[wire.ARRAYS]
    assert content.config_records[wire.CONFIG][wire.RECORD_SIGNATURE_KEY] == ""


def test_a_broken_ledger_stops_the_work(place: Hospital) -> None:
    for _ in range(2):
        answer(place, "describe")
    text = place.home.ledger.read_text()
    place.home.ledger.write_text(text.replace('"describe"', '"train"', 1))

    assert fault_in(trained(place)) == "state"


def claiming(shape: tuple[int, ...]) -> Array:
    """Four bytes that say they are an array of `shape`."""
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return Array("float32", shape, "numpy.ndarray", file.getvalue() + bytes(4))


def other_key(place: Hospital) -> str:
    path = place.home.path / "other.pem"
    make_signing_key(path)
    return sign(load_signing_key(path), "study", place.study.canonical())


def hostile(place: Hospital, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays and the changed texts of a hostile coordinator's message to train."""
    network, longer = (
        network_of(place.study),
        place.study.canonical().replace('"steps":12', '"steps":99'),
    )
    name = next(iter(network))
    arrays = {
        "50 GB": {**network, name: claiming((12_500_000_000,))},
        "extra layer": {**network, "medileak": np.zeros((64, 64), np.float32)},
        "missing layer": {n: a for n, a in network.items() if n != name},
        "transposed": {**network, name: network[name].T.copy()},
        "other type": {**network, name: network[name].astype(np.float64)},
    }
    texts = {
        "unsigned": {wire.STUDY_SIGNATURE_KEY: ""},
        "another key's": {wire.STUDY_SIGNATURE_KEY: other_key(place)},
        "altered": {wire.STUDY_KEY: longer},
        "long signature": {wire.STUDY_SIGNATURE_KEY: "a" * 1000},
        "unapproved": {
            wire.STUDY_KEY: longer,
            wire.STUDY_SIGNATURE_KEY: sign(place.coordinator, "study", longer),
        },
        "endless": {wire.PLAN_KEY: TRAIN.model_copy(update={"steps": 10**9}).model_dump_json()},
        "no receipt": {wire.RECEIPTS_KEY: "[1]"},
        "long text": {wire.PLAN_KEY: "x" * 5_000_000},
    }
    return arrays.get(kind, network), texts.get(kind, {})


REFUSED = {
    "50 GB": "untrusted",
    "extra layer": "policy",
    "missing layer": "policy",
    "transposed": "policy",
    "other type": "policy",
    "unsigned": "untrusted",
    "another key's": "untrusted",
    "altered": "untrusted",
    "long signature": "untrusted",
    "unapproved": "policy",
    "endless": "policy",
    "no receipt": "untrusted",
    "long text": "untrusted",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_hostile_job_is_refused_before_any_work_and_written_down(
    place: Hospital, kind: str
) -> None:
    arrays, texts = hostile(place, kind)

    content = answer(place, "train", TRAIN.model_dump_json(), arrays, **texts)

    assert fault_in(content) == REFUSED[kind]
    assert not content.array_records[wire.ARRAYS]
    (entry,) = Ledger(place.home.ledger).entries()
    assert entry.fields["record"]["fault"] == REFUSED[kind]
    assert not (Path(place.settings.work) / "cache").exists()  # no image was opened


def test_a_hospital_without_policy_or_key_does_nothing(place: Hospital) -> None:
    for path in (place.home.policy, place.home.coordinator_key):
        text = path.read_text()
        path.unlink()
        assert fault_in(answer(place, "describe")) in {"policy", "untrusted"}
        path.write_text(text)
    assert fault_in(answer(place, "describe")) == ""


def test_a_policy_is_read_at_every_message(place: Hospital) -> None:
    assert fault_in(answer(place, "describe")) == ""
    place.set(actions=["train"])

    assert fault_in(answer(place, "describe")) == "policy"


def test_a_study_that_was_taken_out_of_the_policy_is_refused(place: Hospital) -> None:
    text = place.home.policy.read_text()
    place.home.policy.write_text(text[: text.index("[[studies]]\nname")])

    assert fault_in(answer(place, "describe")) == "policy"


def test_rounds_and_epochs_are_counted_over_restarts(place: Hospital) -> None:
    place.set(max_rounds=2)
    assert [fault_in(trained(place)) for _ in range(3)] == ["", "", "policy"]

    epochs = [e.fields["epochs"] for e in Ledger(place.home.ledger).entries()][:2]
    assert epochs == [1.0, 1.0]  # 2 steps of 4 slices, of 8 slices
    place.set(max_rounds=9, max_epochs=2.5)
    assert fault_in(trained(place)) == "policy"  # a third pass would be half a pass too much
    place.set(max_epochs=3.0)
    assert fault_in(trained(place)) == ""


def test_models_that_were_measured_are_counted_over_restarts(place: Hospital) -> None:
    place.set(max_evaluations=2)
    plan, network = EVALUATE.model_dump_json(), network_of(place.study)

    faults = [fault_in(answer(place, "evaluate", plan, network)) for _ in range(3)]

    assert faults == ["", "", "policy"]
    assert fault_in(trained(place)) == ""


def test_a_held_out_hospital_describes_and_measures_and_never_trains(tmp_path: Path) -> None:
    place = hospital(tmp_path, "south")
    network = network_of(place.study)

    assert fault_in(answer(place, "describe")) == ""
    assert fault_in(answer(place, "evaluate", EVALUATE.model_dump_json(), network)) == ""
    assert fault_in(trained(place)) == "policy"
    assert fault_in(answer(place, "hints", HINTS.model_dump_json(), network)) == "policy"


def test_a_hospital_with_too_few_patients_says_so_before_the_first_round(tmp_path: Path) -> None:
    place = hospital(tmp_path, min_cohort=2)  # two train, one validates

    content = answer(place, "describe")

    assert fault_in(content) == "small-cohort"
    assert b"ring" not in every_byte(content)


def test_a_clipped_change_leaves_no_longer_than_the_policy_says(place: Hospital) -> None:
    sent, free = network_of(place.study), trained(place)
    place.set(max_norm_out=0.01)

    clipped = trained(place)

    assert norm_of_change(free, sent) > 0.1
    assert norm_of_change(clipped, sent) == pytest.approx(0.01, rel=1e-4)


def norm_of_change(content: RecordDict, sent: Mapping[str, np.ndarray]) -> float:
    arrays = content.array_records[wire.ARRAYS]
    changes = [np.float64(array.numpy()) - sent[name] for name, array in arrays.items()]
    return float(np.sqrt(sum(np.square(change).sum() for change in changes)))


def receipt(place: Hospital, content: RecordDict) -> dict[str, Any]:
    record = record_in(content)
    signature = str(content.config_records[wire.CONFIG][wire.RECORD_SIGNATURE_KEY])
    countersigned = Receipt(
        record=record,
        site_signature=signature,
        coordinator_signature=sign(place.coordinator, "receipt", record.text()),
    )
    return countersigned.model_dump(mode="json")


def test_a_receipt_is_written_once_and_a_false_one_stops_the_work(place: Hospital) -> None:
    true = receipt(place, answer(place, "describe"))
    false = {**true, "coordinator_signature": true["site_signature"]}

    for _ in range(2):
        content = answer(place, "describe", **{wire.RECEIPTS_KEY: json.dumps([true])})
        assert fault_in(content) == ""
    content = answer(place, "describe", **{wire.RECEIPTS_KEY: json.dumps([false])})

    assert fault_in(content) == "untrusted"
    events = [entry.event for entry in Ledger(place.home.ledger).entries()]
    assert events == ["departure", "receipt", *["departure"] * 3]
    findings = audit_site(place.home.ledger, place.site_pem, place.coordinator_pem)
    assert not [finding for finding in findings if finding.level == "error"]


def test_a_link_out_of_the_data_folder_is_refused_unless_the_site_allows_links(
    place: Hospital, tmp_path: Path
) -> None:
    image = Path(place.settings.data[0]) / "images" / "east-1.nii.gz"
    elsewhere = tmp_path / "elsewhere.nii.gz"
    image.rename(elsewhere)
    image.symlink_to(elsewhere)

    assert fault_in(answer(place, "describe")) == "data"
    assert "case 'east-1'" in (Path(place.settings.work) / "site.log").read_text()

    text = place.home.settings.read_text()
    place.home.settings.write_text(text + "follow_links = true\n")
    assert fault_in(answer(place, "describe")) == ""


def test_another_protocol_is_named_to_the_coordinator_that_asked(place: Hospital) -> None:
    content = answer(place, "describe", **{wire.PROTOCOL_KEY: 1})

    assert (fault_in(content), record_in(content).ask) == ("study", ASK)


def same_but_for_time(one: RecordDict, other: RecordDict) -> bool:
    arrays, figures = [], []
    for content in (one, other):
        record = content.array_records[wire.ARRAYS]
        arrays.append([(name, array.data) for name, array in record.items()])
        text = str(content.config_records[wire.CONFIG][wire.FIGURES_KEY])
        figures.append({**json.loads(text), "seconds": 0})
    return arrays[0] == arrays[1] and figures[0] == figures[1]


@pytest.mark.slow
def test_the_same_bytes_leave_with_and_without_a_resident_and_after_its_death(
    place: Hospital,
) -> None:
    alone = trained(place)

    with resident(place.home) as process:
        helped = trained(place)
        process.send_signal(signal.SIGSTOP)  # takes the question and says nothing
        threading.Timer(1.0, process.kill).start()
        bereft = trained(place)
        assert process.wait() == -signal.SIGKILL

    assert same_but_for_time(helped, alone)
    assert same_but_for_time(bereft, alone)


NAMES = ("Muster", "Maria", "19480312")


def patients_with_names(place: Hospital) -> Path:
    """Put names wherever a hospital has them: file names, patients, groups, folders."""
    folder = Path(place.settings.data[0]).parent / "Muster, Maria"
    cases = {f"Muster_Maria_19480312_{n}": f"Maria Muster {n}" for n in range(3)}
    write_site(folder, cases, shape=(20, 20, 4))
    rows = [f"{case},{patient},Muster trial {patient[-1]}" for case, patient in cases.items()]
    (folder / "cases.csv").write_text("\n".join(["case,patient,group", *rows]) + "\n")
    text = place.home.settings.read_text()
    place.home.settings.write_text(re.sub(r"(?m)^data = .*$", f'data = ["{folder}"]', text))
    return folder


def test_no_name_is_in_any_byte_that_leaves_or_in_the_ledger(place: Hospital) -> None:
    folder, network = patients_with_names(place), network_of(place.study)
    questions: list[tuple[Action, str, Any]] = [
        ("describe", "", None),
        ("train", TRAIN.model_dump_json(), network),
        ("hints", HINTS.model_dump_json(), network),
        ("evaluate", EVALUATE.model_dump_json(), network),
    ]

    left = [answer(place, *question) for question in questions]
    assert [fault_in(content) for content in left] == [""] * 4
    broken = next((folder / "images").iterdir())
    broken.write_bytes(b"Maria Muster")  # an error whose text names the case and the file
    left += [answer(place, *question) for question in questions]
    (folder / "cases.csv").write_text("case,patient\nMuster,Maria\n")
    left += [answer(place, "describe"), answer(place, "train", "Muster", network)]

    assert {fault_in(content) for content in left[4:]} >= {"data", "policy"}
    outside = b"\n".join(map(every_byte, left)) + place.home.ledger.read_bytes()
    assert [name for name in NAMES if name.encode() in outside] == []
    assert "Muster" in (Path(place.settings.work) / "site.log").read_text()


@pytest.mark.parametrize("ask", ["", "x" * 1_000_000, ASK.upper(), f"{ASK}\n"])
def test_a_word_of_another_form_enters_neither_the_ledger_nor_the_answer(
    place: Hospital, ask: str
) -> None:
    content = answer(place, "describe", **{wire.ASK_KEY: ask})

    assert (fault_in(content), record_in(content).ask) == ("untrusted", "")
    assert place.home.ledger.stat().st_size < 5000
