from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.errors import RunStateError
from crisp_core.trust.ledger import BEGINNING, TAIL_BYTES, Ledger, sound_entries, verify

EVENTS = ("started", "admitted", "averaged", "finished")


def filled(path):
    ledger = Ledger(path)
    for number, event in enumerate(EVENTS):
        ledger.append(event, site="Zürich", round=number, time=1.5)
    return ledger


def test_entries_come_back_in_order_with_their_fields(tmp_path):
    ledger = filled(tmp_path / "ledger.jsonl")

    entries = Ledger(ledger.path).entries()

    assert tuple(entry.event for entry in entries) == EVENTS
    assert [entry.number for entry in entries] == [1, 2, 3, 4]
    assert entries[2].fields == {"site": "Zürich", "round": 2, "time": 1.5}
    assert len(ledger) == 4


def test_each_line_holds_the_hash_of_the_one_before(tmp_path):
    ledger = filled(tmp_path / "ledger.jsonl")

    entries = ledger.entries()

    assert [entry.previous for entry in entries] == [BEGINNING, *(e.hash for e in entries[:-1])]
    assert ledger.head == entries[-1].hash


def test_an_absent_ledger_is_empty_and_sound(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")

    assert (len(ledger), ledger.head, ledger.entries()) == (0, BEGINNING, ())
    assert verify(ledger.path) is None


def test_the_same_events_give_the_same_bytes(tmp_path):
    one, two = filled(tmp_path / "1"), filled(tmp_path / "2")

    assert one.path.read_bytes() == two.path.read_bytes()


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_one_changed_byte_breaks_its_line_or_the_next(tmp_path_factory, data):
    path = filled(tmp_path_factory.mktemp("run") / "ledger.jsonl").path
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    line = whole[:place].count(b"\n") + 1

    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])

    assert verify(path) == line


@pytest.mark.parametrize("gone", range(3))
def test_a_line_taken_out_is_noticed_at_its_place(tmp_path, gone):
    path = filled(tmp_path / "ledger.jsonl").path
    lines = path.read_bytes().splitlines(keepends=True)

    path.write_bytes(b"".join(lines[:gone] + lines[gone + 1 :]))

    assert verify(path) == gone + 1


def test_a_line_rewritten_with_a_hash_of_its_own_breaks_the_next(tmp_path):
    path = filled(tmp_path / "ledger.jsonl").path
    forged = tmp_path / "forged.jsonl"
    ledger = Ledger(forged)
    ledger.append("started", site="Zürich", round=0, time=1.5)
    ledger.append("admitted", site="nobody", round=1, time=1.5)
    lines = path.read_bytes().splitlines(keepends=True)

    path.write_bytes(forged.read_bytes() + b"".join(lines[2:]))

    assert verify(path) == 3
    with pytest.raises(RunStateError, match="line 3 that does not fit"):
        Ledger(path).entries()


@pytest.mark.parametrize("torn", [1, 40, 100])
def test_a_line_torn_by_a_kill_does_not_count_and_is_written_over(tmp_path, torn):
    ledger = filled(tmp_path / "ledger.jsonl")
    whole = ledger.path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    ledger.path.write_bytes(whole[: len(whole) - last + torn])

    again = Ledger(ledger.path)

    assert len(again) == 3
    assert verify(ledger.path) == 4
    again.append("finished", site="Zürich", round=3, time=1.5)
    assert ledger.path.read_bytes() == whole


def test_lines_after_the_last_saved_state_can_be_dropped_and_written_again(tmp_path):
    ledger = filled(tmp_path / "ledger.jsonl")
    whole = ledger.path.read_bytes()

    ledger.truncate_to(2)

    assert len(ledger) == 2
    ledger.append("averaged", site="Zürich", round=2, time=1.5)
    ledger.append("finished", site="Zürich", round=3, time=1.5)
    assert ledger.path.read_bytes() == whole


def test_a_ledger_that_is_too_short_is_not_continued(tmp_path):
    with pytest.raises(RunStateError, match="at least 5 lines, got 4"):
        filled(tmp_path / "ledger.jsonl").truncate_to(5)


def test_nothing_is_added_behind_a_damaged_line(tmp_path):
    ledger = filled(tmp_path / "ledger.jsonl")
    ledger.path.write_bytes(ledger.path.read_bytes() + b"[]\n")

    with pytest.raises(RunStateError, match="line 5 that does not fit"):
        ledger.append("finished")


def test_a_disk_that_is_full_is_told_and_loses_no_line(tmp_path):
    ledger = filled(tmp_path / "ledger.jsonl")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ledger.path.stat().st_size + 10, limits[1]))
    try:
        with pytest.raises(RunStateError, match="a ledger that can be written"):
            ledger.append("finished")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert tuple(entry.event for entry in ledger.entries()) == EVENTS


def test_each_line_is_plain_json(tmp_path):
    path = filled(tmp_path / "ledger.jsonl").path

    first = json.loads(path.read_text().splitlines()[0])

    assert sorted(first) == ["event", "fields", "hash", "number", "previous"]


def bytes_read():
    """Bytes that this process has asked the kernel for so far."""
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["rchar"])


@pytest.mark.slow
def test_the_three_thousandth_line_costs_what_the_first_did(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for number in range(3000):
        ledger.append("averaged", round=number, site="Zürich")
    before = bytes_read()

    Ledger(ledger.path).append("averaged", round=3000, site="Zürich")

    assert bytes_read() - before < 4 * TAIL_BYTES < ledger.path.stat().st_size / 10
    assert len(ledger) == 3001
    assert verify(ledger.path) is None


@given(st.lists(st.integers(0, 5 * TAIL_BYTES), max_size=6), st.binary(max_size=30))
@settings(deadline=None, max_examples=60)
def test_lines_of_any_length_hang_together_behind_any_torn_end(tmp_path_factory, lengths, torn):
    ledger = Ledger(tmp_path_factory.mktemp("run") / "ledger.jsonl")
    for length in lengths:
        with ledger.path.open("ab") as file:
            file.write(torn.replace(b"\n", b"").replace(b"\r", b""))
        ledger.append("averaged", text="x" * length)

    assert [len(entry.fields["text"]) for entry in ledger.entries()] == lengths
    assert (len(ledger), verify(ledger.path)) == (len(lengths), None)


def test_a_ledger_that_is_all_one_unfinished_line_is_empty(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.path.write_bytes(b"x" * 3 * TAIL_BYTES)

    assert (len(ledger), ledger.head) == (0, BEGINNING)
    ledger.append("started")
    assert verify(ledger.path) is None


def test_two_ledgers_on_one_file_see_each_others_lines(tmp_path):
    one, two = Ledger(tmp_path / "ledger.jsonl"), Ledger(tmp_path / "ledger.jsonl")

    for number in range(4):
        (one, two)[number % 2].append("averaged", round=number)
    two.truncate_to(3)
    one.append("finished")

    assert [entry.event for entry in two.entries()] == ["averaged"] * 3 + ["finished"]


APPEND = "import sys, pathlib; from crisp_core.trust.ledger import Ledger\n"
APPEND += "for n in range(150): Ledger(pathlib.Path(sys.argv[1])).append(sys.argv[2], n=n)"


def test_processes_that_append_at_once_take_turns(tmp_path):
    path = tmp_path / "ledger.jsonl"
    writers = [
        subprocess.Popen([sys.executable, "-c", APPEND, path, name]) for name in ("one", "two")
    ]

    assert [writer.wait(60) for writer in writers] == [0, 0]

    entries = Ledger(path).entries()
    for name in ("one", "two"):
        assert [entry.fields["n"] for entry in entries if entry.event == name] == [*range(150)]


@pytest.mark.parametrize(
    "change",
    [
        {"number": True},
        {"number": "1"},
        {"number": None},
        {"event": []},
        {"fields": []},
        {"previous": 0},
        {"more": 1},
    ],
)
def test_a_sealed_line_of_the_wrong_kinds_is_damaged(tmp_path, change):
    """Whoever forges a line can seal it; he cannot make the reader stumble."""
    path = tmp_path / "ledger.jsonl"
    line = json.loads(json.dumps(vars(Ledger(path).append("started"))))
    path.write_text(json.dumps(sealed({**line, **change}), sort_keys=True) + "\n")

    assert sound_entries(path) == ((), 1)
    with pytest.raises(RunStateError, match="line 1 that does not fit"):
        Ledger(path).append("finished")


def sealed(line):
    parts = [line["number"], line["event"], line["fields"], line["previous"]]
    return {**line, "hash": hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}


@pytest.mark.parametrize("line", [b"[" * 5000, b"null", b"{}", b"\xff", b""])
def test_a_line_that_is_nothing_of_the_kind_is_damaged(tmp_path, line):
    path = filled(tmp_path / "ledger.jsonl").path
    path.write_bytes(path.read_bytes() + line + b"\n")

    assert verify(path) == 5
    assert sound_entries(path)[1] == 5
    with pytest.raises(RunStateError, match="line 5"):
        len(Ledger(path))


def test_cutting_an_absent_ledger_to_nothing_makes_none(tmp_path):
    Ledger(tmp_path / "ledger.jsonl").truncate_to(0)

    assert list(tmp_path.iterdir()) == []
