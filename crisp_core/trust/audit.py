"""What two ledgers prove: that nothing was changed, and that both sides tell the same story.

The coordinator's `record` lines hold what it counted, with both signatures. A site's `departure`
lines hold what it let out, its `receipt` lines what the coordinator signed as received.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import ValidationError

from crisp_core.schema.record import RoundRecord
from crisp_core.trust.ledger import LedgerEntry, sound_entries, verify
from crisp_core.trust.signature import is_signed

Signer = Literal["site", "coordinator"]
SIGNERS: Mapping[str, tuple[Signer, ...]] = MappingProxyType(
    {
        "record": ("site", "coordinator"),
        "departure": ("site",),
        "receipt": ("coordinator",),
    }
)
"""Whose signatures each event's line must hold."""


@dataclass(frozen=True)
class AuditFinding:
    """One thing that is wrong (`error`) or worth knowing (`note`), and its file and line."""

    level: Literal["error", "note"]
    where: str
    sentence: str


@dataclass(frozen=True)
class _Line:
    """A line that holds a record."""

    where: str
    event: str
    record: RoundRecord
    signatures: Mapping[Signer, str]


def audit_coordinator(
    ledger: Path, site_keys: Mapping[str, Sequence[str]], coordinator_pem: str
) -> tuple[AuditFinding, ...]:
    """Check the chain, both signatures of every record, and that each was counted once.

    Args:
        ledger: Ledger of one run.
        site_keys: Public signing keys (PEM) of each site: the present one and former ones.
        coordinator_pem: The coordinator's own public signing key.
    """
    lines, findings = _read(ledger)
    unsigned = _signature_findings(lines, site_keys, coordinator_pem)
    return (*findings, *unsigned, *_counted_twice(lines))


def audit_site(ledger: Path, site_pem: str, coordinator_pem: str) -> tuple[AuditFinding, ...]:
    """Check the chain, every signature, and that each receipt is for a departure of this site.

    Args:
        ledger: The site's ledger.
        site_pem: Its own public signing key.
        coordinator_pem: Public signing key of the coordinator that it joined.
    """
    lines, findings = _read(ledger)
    own_keys = {line.record.site: (site_pem,) for line in lines}
    unsigned = _signature_findings(lines, own_keys, coordinator_pem)
    return (*findings, *unsigned, *_receipt_findings(lines))


def compare_ledgers(
    coordinator_ledger: Path, site_ledger: Path, site: str, keys: Sequence[str] = ()
) -> tuple[AuditFinding, ...]:
    """Match what the coordinator counted from `site` with what `site` let out, by their asks.

    A site keeps one ledger for all its studies: departures of studies that the coordinator's
    ledger does not know are passed over. A site that joined again with new keys began a new ledger:
    with its public `keys`, what it signed with one that this ledger never used is for the ledger
    that did, and one note. Where a chain is broken, that is all that is told.
    Signatures are for `audit_coordinator` and `audit_site`.
    """
    (ours, our_findings), (theirs, their_findings) = _read(coordinator_ledger), _read(site_ledger)
    findings = (*our_findings, *their_findings)
    if any(finding.level == "error" for finding in findings):
        return findings
    studies = {line.record.study for line in ours}
    counted = _by_ask(line for line in _of(ours, "record") if line.record.site == site)
    left = _by_ask(_of(theirs, "departure"))
    counted, notes = _of_this_ledger(counted, left, keys)
    differing = (_difference(line, left.get(ask)) for ask, line in counted.items())
    uncounted = (
        AuditFinding(
            "note",
            line.where,
            "Left, and is not in the coordinator's ledger: late, refused or lost.",
        )
        for ask, line in left.items()
        if ask not in counted and (not studies or line.record.study in studies)
    )
    return (*findings, *filter(None, differing), *notes, *uncounted)


def _of_this_ledger(
    counted: dict[str, _Line], left: dict[str, _Line], keys: Sequence[str]
) -> tuple[dict[str, _Line], list[AuditFinding]]:
    """Leave out what was signed with a key of the site that its ledger never used."""
    used = {_signer(line, keys) for line in left.values()} - {None}
    elsewhere = [
        line
        for ask, line in counted.items()
        if used and ask not in left and _signer(line, keys) not in {None, *used}
    ]
    if not elsewhere:
        return counted, []
    sentence = (
        f"{len(elsewhere)} records, this one first, were signed with another key of the site: "
        "compare them with the ledger beside that key."
    )
    kept = {ask: line for ask, line in counted.items() if line not in elsewhere}
    return kept, [AuditFinding("note", elsewhere[0].where, sentence)]


def _signer(line: _Line, keys: Sequence[str]) -> str | None:
    """Return the key by which the site has signed a record."""
    text, signature = line.record.text(), line.signatures["site"]
    return next((key for key in keys if is_signed(key, "record", text, signature)), None)


def _read(path: Path) -> tuple[list[_Line], list[AuditFinding]]:
    """Return the records before the first broken line, and what is wrong with the file."""
    entries, broken = sound_entries(path)
    findings = list(_chain_findings(path, broken))
    lines = []
    for entry in entries:
        if entry.event not in SIGNERS:
            continue
        try:
            lines.append(_line(path, entry))
        except ValidationError:
            sentence = f"A {entry.event} line without a record that can be read."
            findings.append(AuditFinding("error", f"{path}:{entry.number}", sentence))
    return lines, findings


def _line(path: Path, entry: LedgerEntry) -> _Line:
    signatures = {name: str(entry.fields.get(f"{name}_signature")) for name in SIGNERS[entry.event]}
    record = RoundRecord.model_validate(entry.fields.get("record"))
    return _Line(f"{path}:{entry.number}", entry.event, record, signatures)


def _chain_findings(path: Path, broken: int | None) -> Iterator[AuditFinding]:
    if not path.exists():
        yield AuditFinding("note", str(path), "There is no ledger: nothing was written yet.")
    elif broken is not None:
        sentence = "Changed, damaged or out of place; from this line on nothing is proven."
        yield AuditFinding("error", f"{path}:{broken}", sentence)
    elif (torn := verify(path)) is not None:
        sentence = "Unfinished: its writer was stopped, or is writing now. It does not count."
        yield AuditFinding("note", f"{path}:{torn}", sentence)


def _signature_findings(
    lines: Sequence[_Line], site_keys: Mapping[str, Sequence[str]], coordinator_pem: str
) -> Iterator[AuditFinding]:
    for line in lines:
        site, text = line.record.site, line.record.text()
        for signer, signature in line.signatures.items():
            if signer == "site":
                genuine = _signer(line, site_keys.get(site, ())) is not None
            else:
                genuine = is_signed(coordinator_pem, "receipt", text, signature)
            if not genuine:
                owner = f"site {site}" if signer == "site" else "the coordinator"
                sentence = f"The record is not signed by the key that is known of {owner}."
                yield AuditFinding("error", line.where, sentence)


def _counted_twice(lines: Sequence[_Line]) -> Iterator[AuditFinding]:
    first: dict[tuple[str, str], str] = {}
    for line in _of(lines, "record"):
        place = first.setdefault((line.record.site, line.record.ask), line.where)
        if place != line.where:
            sentence = f"The same answer of {line.record.site} was counted before ({place})."
            yield AuditFinding("error", line.where, sentence)


def _receipt_findings(lines: Sequence[_Line]) -> Iterator[AuditFinding]:
    departures = {line.record: line.where for line in _of(lines, "departure")}
    received = {line.record for line in _of(lines, "receipt")}
    for line in _of(lines, "receipt"):
        if line.record not in departures:
            sentence = "A receipt for something that never left by this ledger."
            yield AuditFinding("error", line.where, sentence)
    waiting = [where for record, where in departures.items() if record not in received]
    if waiting:
        sentence = (
            f"{len(waiting)} of {len(departures)} departures have no receipt, this one first. "
            "Late and refused answers have none, and the last one of a study."
        )
        yield AuditFinding("note", waiting[0], sentence)


def _difference(counted: _Line, left: _Line | None) -> AuditFinding | None:
    if left is None:
        sentence = f"Counted, but by its own ledger {counted.record.site} never let it out."
        return AuditFinding("error", counted.where, sentence)
    if left.record != counted.record:
        sentence = f"Counted as something else than what left ({left.where})."
        return AuditFinding("error", counted.where, sentence)
    return None


def _of(lines: Sequence[_Line], event: str) -> list[_Line]:
    return [line for line in lines if line.event == event]


def _by_ask(lines: Iterable[_Line]) -> dict[str, _Line]:
    return {line.record.ask: line for line in lines}
