from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from trust_samples import STUDY, after_two_rounds, record, two_sites

from crisp_core.trust.audit import audit_coordinator, audit_site, compare_ledgers
from crisp_core.trust.ledger import Ledger
from crisp_core.trust.signature import sign

GARBAGE = "0" * 128


def coordinators(federation):
    return audit_coordinator(federation.run.path, federation.site_keys, federation.coordinator_pem)


def sites(federation):
    return audit_site(federation.site.path, federation.east_pem, federation.coordinator_pem)


def compared(federation):
    return compare_ledgers(federation.run.path, federation.site.path, "east")


def told(findings):
    """Return level, line and the sentence's first word of each finding."""
    return [(f.level, f.where.rpartition(":")[2], f.sentence.split()[0]) for f in findings]


def errors(findings):
    return [line for level, line, _ in told(findings) if level == "error"]


def test_two_honest_ledgers_hold_no_error(tmp_path):
    federation = after_two_rounds(tmp_path)

    assert coordinators(federation) == ()
    assert compared(federation) == ()
    assert told(sites(federation)) == [("note", "2", "1")]


def test_lines_about_other_things_are_chained_and_need_no_signature(tmp_path):
    federation = after_two_rounds(tmp_path)
    federation.run.append("averaged", round=1)
    federation.site.append("approved", study=STUDY)

    assert coordinators(federation) == ()
    assert errors(sites(federation)) == []


def test_a_ledger_that_is_not_there_is_told_and_is_no_error(tmp_path):
    federation = two_sites(tmp_path)

    for findings in (coordinators(federation), sites(federation)):
        assert [(f.level, f.sentence) for f in findings] == [
            ("note", "There is no ledger: nothing was written yet.")
        ]
    assert errors(compared(federation)) == []


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_one_flipped_byte_is_named_by_its_line(tmp_path_factory, data):
    federation = after_two_rounds(tmp_path_factory.mktemp("audit"))
    ledger = data.draw(st.sampled_from([federation.run, federation.site]))
    whole = ledger.path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 2))
    line = whole[:place].count(b"\n") + 1

    ledger.path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])

    audit = coordinators if ledger is federation.run else sites
    assert str(line) in errors(audit(federation))
    assert errors(compared(federation)) == [str(line)]


def test_a_line_that_its_writer_did_not_finish_is_a_note(tmp_path):
    federation = after_two_rounds(tmp_path)
    with federation.run.path.open("ab") as file:
        file.write(b'{"event": "rec')

    assert told(coordinators(federation)) == [("note", "5", "Unfinished:")]


# A forger who can write the file seals whatever he likes: only the signatures stop him.


def resealed(ledger, number, **fields):
    """Write `fields` into one line and chain the whole ledger anew, as a forger would."""
    entries = [
        replace(e, fields={**e.fields, **fields}) if e.number == number else e
        for e in ledger.entries()
    ]
    ledger.path.unlink()
    for entry in entries:
        ledger.append(entry.event, **entry.fields)


def changed_record(ledger, number, **fields):
    resealed(ledger, number, record={**ledger.entries()[number - 1].fields["record"], **fields})


@pytest.mark.parametrize(
    "change",
    [
        {"case_count": 13},
        {"returned": "e" * 64},
        {"figures": "e" * 64},
        {"action": "describe"},
        {"site": "north"},
        {"fault": "data"},
    ],
)
def test_a_record_that_was_changed_and_chained_anew_lacks_its_signatures(tmp_path, change):
    federation = after_two_rounds(tmp_path)
    changed_record(federation.run, 1, **change)
    changed_record(federation.site, 1, **change)
    changed_record(federation.site, 3, **change)

    assert errors(coordinators(federation))[:2] == ["1", "1"]
    assert errors(sites(federation)) == ["1", "3"]


@pytest.mark.parametrize("signature", ["site_signature", "coordinator_signature"])
@pytest.mark.parametrize("value", [GARBAGE, "", None, 7])
def test_one_missing_signature_of_a_record_is_one_error(tmp_path, signature, value):
    federation = after_two_rounds(tmp_path)
    resealed(federation.run, 3, **{signature: value})

    assert errors(coordinators(federation)) == ["3"]


def test_a_site_cannot_sign_for_another_or_for_the_coordinator(tmp_path):
    federation = after_two_rounds(tmp_path)
    text = record(12, site="north").text()
    resealed(federation.run, 4, site_signature=sign(federation.east, "record", text))
    resealed(federation.run, 3, coordinator_signature=sign(federation.east, "receipt", text))

    assert errors(coordinators(federation)) == ["3", "4"]


def test_the_sites_own_signature_is_no_receipt_and_no_receipt_is_a_departure(tmp_path):
    federation = after_two_rounds(tmp_path)
    text = record(1).text()
    resealed(federation.site, 3, coordinator_signature=sign(federation.coordinator, "record", text))
    resealed(federation.site, 1, site_signature=sign(federation.east, "receipt", text))

    assert errors(sites(federation)) == ["1", "3"]


def test_a_record_of_a_site_that_nobody_knows_is_an_error(tmp_path):
    federation = after_two_rounds(tmp_path)
    keys = {"east": (federation.east_pem,)}

    findings = audit_coordinator(federation.run.path, keys, federation.coordinator_pem)

    assert errors(findings) == ["2", "4"]
    assert "site north" in findings[0].sentence


@pytest.mark.parametrize("value", [None, "text", [], {}, {"study": "x"}])
def test_a_line_without_a_record_is_an_error_and_the_others_are_still_read(tmp_path, value):
    federation = after_two_rounds(tmp_path)
    resealed(federation.run, 1, record=value)
    resealed(federation.run, 2, site_signature=GARBAGE)

    assert errors(coordinators(federation)) == ["1", "2"]


def test_an_answer_that_is_counted_twice_is_an_error(tmp_path):
    federation = after_two_rounds(tmp_path)
    federation.counted(record(2))

    assert told(coordinators(federation)) == [("error", "5", "The")]
    assert f"{federation.run.path}:3" in coordinators(federation)[0].sentence


def test_two_sites_may_be_asked_by_the_same_word(tmp_path):
    federation = two_sites(tmp_path)
    federation.counted(record(1))
    federation.counted(record(1, site="north"))

    assert coordinators(federation) == ()


def test_a_receipt_for_what_never_left_is_an_error(tmp_path):
    federation = after_two_rounds(tmp_path)
    federation.receipted(record(9))

    assert errors(sites(federation)) == ["4"]


def test_departures_that_wait_for_receipts_are_one_note(tmp_path):
    federation = two_sites(tmp_path)
    for number in range(5):
        federation.left(record(number))
    federation.receipted(record(0))

    assert told(sites(federation)) == [("note", "2", "4")]
    federation.receipted(record(1))
    for number in (2, 3, 4):
        federation.receipted(record(number))
    assert sites(federation) == ()


def test_what_was_counted_and_never_left_is_an_error(tmp_path):
    federation = after_two_rounds(tmp_path)
    federation.counted(record(3))

    assert told(compared(federation)) == [("error", "5", "Counted,")]


def test_what_was_counted_as_something_else_than_left_is_an_error(tmp_path):
    federation = after_two_rounds(tmp_path)
    federation.left(record(3))
    federation.counted(record(3).model_copy(update={"returned": "e" * 64}))

    findings = compared(federation)

    assert told(findings) == [("error", "5", "Counted")]
    assert f"{federation.site.path}:4" in findings[0].sentence


def test_what_left_and_was_never_counted_is_a_note(tmp_path):
    federation = after_two_rounds(tmp_path)
    federation.left(record(3))

    assert told(compared(federation)) == [("note", "4", "Left,")]


def test_departures_for_other_studies_are_passed_over(tmp_path):
    federation = after_two_rounds(tmp_path)
    federation.left(record(3, study="6" * 64))

    assert compared(federation) == ()


def test_a_coordinator_that_counted_nothing_is_shown_everything_that_left(tmp_path):
    federation = two_sites(tmp_path)
    federation.run.append("initial", study=STUDY)
    federation.left(record(1))
    federation.left(record(2))

    assert told(compared(federation)) == [("note", "1", "Left,"), ("note", "2", "Left,")]


def test_lines_cut_off_a_sites_ledger_are_seen_by_comparing(tmp_path):
    federation = after_two_rounds(tmp_path)
    federation.site.truncate_to(1)

    assert errors(sites(federation)) == []
    assert errors(compared(federation)) == ["3"]


def test_lines_cut_off_the_coordinators_ledger_are_seen_by_comparing(tmp_path):
    federation = after_two_rounds(tmp_path)
    Ledger(federation.run.path).truncate_to(2)

    assert coordinators(federation) == ()
    assert told(compared(federation)) == [("note", "2", "Left,")]


def test_older_records_of_a_site_that_joined_again_hold_under_its_older_key(tmp_path):
    federation = after_two_rounds(tmp_path)
    new = Ed25519PrivateKey.generate()
    again = replace(federation, east=new, site=Ledger(tmp_path / "new.jsonl"))
    again.left(record(3))
    again.counted(record(3))
    keys = {**federation.site_keys, "east": (again.east_pem, federation.east_pem)}

    assert audit_coordinator(again.run.path, keys, again.coordinator_pem) == ()
    assert errors(coordinators(again)) == ["1", "3"]


def test_the_ledger_of_a_new_home_answers_for_its_own_key_alone(tmp_path):
    federation = after_two_rounds(tmp_path)
    new = Ed25519PrivateKey.generate()
    again = replace(federation, east=new, site=Ledger(tmp_path / "new.jsonl"))
    again.left(record(3))
    for number in (3, 4):
        again.counted(record(number))
    keys = (again.east_pem, federation.east_pem)

    findings = compare_ledgers(again.run.path, again.site.path, "east", keys)

    assert told(findings) == [("error", "6", "Counted,"), ("note", "1", "2")]
