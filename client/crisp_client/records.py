"""What this site signs about each answer, and writes down before the answer leaves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError

from crisp_client.home import SiteHome
from crisp_client.outbox import Departure
from crisp_client.policy import Spent
from crisp_client.requests import Question, arrays_of
from crisp_core.errors import CrispError, UntrustedError
from crisp_core.files.checkpoint import content_hash
from crisp_core.schema.record import Receipt, RoundRecord
from crisp_core.trust.keys import load_signing_key, public_pem
from crisp_core.trust.ledger import Ledger, LedgerEntry
from crisp_core.trust.signature import is_signed, sign

_RECEIPTS = TypeAdapter(tuple[Receipt, ...])


@dataclass(frozen=True)
class Answer:
    """What leaves: a departure, its record and the site's signature (none in a simulation)."""

    site: str
    departure: Departure
    record: RoundRecord
    signature: str = ""


def recorded(site: str, question: Question, departure: Departure) -> Answer:
    """Say in hashes what was asked and what is about to leave; nobody signs in a simulation."""
    fault, arrays = departure.fault, departure.parameters
    record = RoundRecord(
        study=_sha256(question.study),
        site=site,
        action=question.action,
        ask=question.ask,
        plan=_sha256(question.plan),
        received=_received(question),
        returned=content_hash(arrays) if arrays else "",
        figures=_sha256(departure.figures_text),
        fault=fault.code if fault else "",
        case_count=departure.case_count,
        bytes_out=departure.byte_count,
    )
    return Answer(site, departure, record)


def signed(answer: Answer, home: SiteHome) -> Answer:
    """Sign an answer's record and write it into the ledger; only then may the answer leave.

    Raises:
        UntrustedError: If the signing key is absent or others can read it.
        RunStateError: If the ledger is damaged or cannot be written.
    """
    record = answer.record
    signature = sign(load_signing_key(home.signing_key), "record", record.text())
    Ledger(home.ledger).append(
        "departure",
        record=record.model_dump(mode="json"),
        site_signature=signature,
        epochs=answer.departure.epochs,
        time=datetime.now(tz=UTC).isoformat(timespec="seconds"),
    )
    return Answer(answer.site, answer.departure, record, signature)


def keep_receipts(text: str, home: SiteHome, coordinator_pem: str) -> None:
    """Write the coordinator's receipts for this site's own answers into the ledger, each once.

    Args:
        text: JSON list of receipts.
        home: Of this site.
        coordinator_pem: Public key of the coordinator, pinned when joining.

    Raises:
        UntrustedError: If one of them was not signed by both for what it says.
    """
    ledger, own = Ledger(home.ledger), public_pem(load_signing_key(home.signing_key))
    known = {_text(entry) for entry in ledger.entries() if entry.event == "receipt"}
    for receipt in _receipts(text):
        record = receipt.record.text()
        if not (
            is_signed(own, "record", record, receipt.site_signature)
            and is_signed(coordinator_pem, "receipt", record, receipt.coordinator_signature)
        ):
            raise _bad_receipt(len(text))
        if record not in known:
            fields = receipt.model_dump(mode="json", exclude={"site_signature"})
            ledger.append("receipt", **fields)


def spent_on(study_hash: str, entries: Sequence[LedgerEntry]) -> Spent:
    """Count what a study has taken by this site's ledger: a restart forgets nothing."""
    answered = [
        (entry.fields["record"]["action"], entry.fields["epochs"])
        for entry in entries
        if entry.event == "departure"
        and entry.fields["record"]["study"] == study_hash
        and not entry.fields["record"]["fault"]
    ]
    epochs = [spent for action, spent in answered if action == "train"]
    measured = sum(action == "evaluate" for action, _ in answered)
    return Spent(len(epochs), sum(epochs), measured)


def _received(question: Question) -> str:
    """Hash what came; nothing can be said of bytes that are no arrays."""
    try:
        return content_hash(arrays_of(question)) if question.arrays else ""
    except CrispError:
        return ""


def _receipts(text: str) -> tuple[Receipt, ...]:
    try:
        return _RECEIPTS.validate_json(text)
    except ValidationError:
        raise _bad_receipt(len(text)) from None


def _text(entry: LedgerEntry) -> str:
    return json.dumps(entry.fields["record"], sort_keys=True, separators=(",", ":"))


def _bad_receipt(length: int) -> UntrustedError:
    return UntrustedError(
        expected="receipts that this site and its coordinator signed",
        got=f"{length} characters of something else",
        where="the receipts of a message",
        fix="Nothing was run; compare the ledgers with `crisp-client audit`",
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
