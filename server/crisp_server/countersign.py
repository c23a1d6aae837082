"""The coordinator's signatures: under the study that goes out and the records that come back."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from crisp_core.arrays import Parameters
from crisp_core.errors import UntrustedError
from crisp_core.files.checkpoint import content_hash
from crisp_core.schema.messages import SiteFault
from crisp_core.schema.record import Action, Receipt, RoundRecord
from crisp_core.trust.keys import load_signing_key
from crisp_core.trust.signature import is_signed, sign
from crisp_core.trust.signed_study import sign_study
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster
from crisp_server.sites import SiteReply
from crisp_server.store import RunFolder

ASK_BYTES = 16
LONGEST_SENTENCE = 300
_MISFITS = {
    "study": "it belongs to another study",
    "site": "it names another site",
    "action": "it answers another kind of question",
    "ask": "it answers another question: an answer sent twice, or of another round",
    "plan": "the site says that it was asked to do something else",
    "received": "the site worked on another model than was sent",
    "returned": "the arrays are not those that the site let out",
    "figures": "the figures are not those that the site let out",
    "fault": "the fault is not the one that the site let out",
}


@dataclass(frozen=True)
class Question:
    """What one site was asked: all that its record must repeat."""

    site: str
    action: Action
    plan: str
    received: str
    """Content hash of the arrays that went out; empty without any."""
    ask: str = field(default_factory=lambda: secrets.token_hex(ASK_BYTES))


@dataclass(frozen=True)
class Answer:
    """What came back, as it came: nothing in it is believed yet."""

    figures: str
    fault: str
    record: str
    signature: str
    parameters: Parameters


class Notary:
    """Checks what sites signed, signs it as well and keeps the receipts for their next messages.

    In a simulation nobody has a key: records are checked, and neither signed nor written down.
    """

    def __init__(self, run: RunFolder) -> None:
        study = run.study
        self._study_hash, self._ledger = study.hash(), run.ledger
        home = run.facts.home
        self._home = CoordinatorHome(Path(home)) if home else None
        self._key = load_signing_key(self._home.signing_key) if self._home else None
        self.study_text = study.canonical()
        self.study_signature = sign_study(self._key, study).signature if self._key else ""
        self._receipts: dict[str, Receipt] = {}

    @property
    def signs(self) -> bool:
        """Whether hospitals are real: names are then registered and records signed."""
        return self._key is not None

    def receipts(self, site: str) -> str:
        """Write what a site has no receipt for yet as a JSON list: its last answer, or nothing."""
        last = self._receipts.get(site)
        if last and not self._signed_by_site(site, last.record, last.site_signature):
            last = None  # it has joined again since: its new ledger knows nothing of that
        return json.dumps([last.model_dump(mode="json")] if last else [])

    def reply(self, question: Question, answer: Answer) -> SiteReply:
        """Return what the site said; a fault `untrusted` if its record does not stand."""
        record, fault = _record(answer.record), _fault(answer.fault)
        if record is None:
            return untrusted(question.site, "there is no record with it that can be read")
        wrong = self._wrong(question, answer, record, fault)
        if wrong:
            return untrusted(question.site, wrong)
        self._countersign(record, answer.signature)
        if fault is not None:
            return SiteReply(question.site, fault=fault)
        return SiteReply(question.site, answer.figures, answer.parameters)

    def _wrong(
        self, question: Question, answer: Answer, record: RoundRecord, fault: SiteFault | None
    ) -> str:
        """Say the first thing that is wrong with a record; empty if nothing is."""
        if not self._signed_by_site(question.site, record, answer.signature):
            return "its record is not signed by the key of this site"
        expected = self._expected(question, answer, fault)
        odd = (name for name, value in expected.items() if getattr(record, name) != value)
        return _MISFITS.get(next(odd, ""), "")

    def _expected(
        self, question: Question, answer: Answer, fault: SiteFault | None
    ) -> dict[str, str]:
        return {
            "study": self._study_hash,
            "site": question.site,
            "action": question.action,
            "ask": question.ask,
            "plan": _sha256(question.plan),
            "received": question.received,
            "returned": content_hash(answer.parameters) if answer.parameters else "",
            "figures": _sha256(answer.figures),
            "fault": fault.code if fault else "",
        }

    def _signed_by_site(self, site: str, record: RoundRecord, signature: str) -> bool:
        """Look the key up anew: a site may be revoked, or join again, while the study runs."""
        if self._home is None:
            return True
        key = Roster.load(self._home.roster).signing_keys().get(site, "")
        return is_signed(key, "record", record.text(), signature)

    def _countersign(self, record: RoundRecord, site_signature: str) -> None:
        if self._key is None:
            return
        receipt = Receipt(
            record=record,
            site_signature=site_signature,
            coordinator_signature=sign(self._key, "receipt", record.text()),
        )
        self._ledger.append("record", **receipt.model_dump(mode="json"))
        self._receipts[record.site] = receipt


def untrusted(site: str, sentence: str) -> SiteReply:
    """Return a reply of which nothing is believed but that it came."""
    return SiteReply(site, fault=SiteFault(code=UntrustedError.code, sentence=sentence))


def _record(text: str) -> RoundRecord | None:
    try:
        return RoundRecord.model_validate_json(text)
    except ValidationError:
        return None


def _fault(text: str) -> SiteFault | None:
    """Read the fault that a site sent, as far as one can read on a line."""
    if not text:
        return None
    try:
        fault = SiteFault.model_validate_json(text)
    except ValidationError:
        return SiteFault(code="crash", sentence="The site's fault cannot be read")
    line = " ".join(fault.sentence.split())[:LONGEST_SENTENCE]
    return SiteFault(code=fault.code, sentence=line)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
