"""The ClientApp: a message is checked, permitted, worked on, checked again, signed and answered.

Flower starts this in a new process for every message; torch is imported only where no resident
process does the work.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from pydantic import ValidationError

from crisp_client.approval import coordinator_key
from crisp_client.errand import ask_resident
from crisp_client.home import SiteHome
from crisp_client.outbox import Departure, checked, fault_of
from crisp_client.policy import load_policy, permit
from crisp_client.records import Answer, keep_receipts, recorded, signed, spent_on
from crisp_client.requests import Question, Request, arrays_of
from crisp_client.settings import load_settings, settings_of_partition
from crisp_core.arrays import Parameters
from crisp_core.errors import StudyError, UntrustedError
from crisp_core.files.checkpoint import packed
from crisp_core.schema import wire
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.policy import Policy
from crisp_core.schema.record import Action
from crisp_core.schema.signed_study import SignedStudy
from crisp_core.schema.study import Study
from crisp_core.trust.ledger import Ledger
from crisp_core.trust.signed_study import opened_study

app = ClientApp()
ASK = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Place:
    """Whose machine this is; a hospital has a home with keys, policy and ledger."""

    settings: SiteSettings
    home: SiteHome | None
    """None in a simulation."""

    @property
    def log(self) -> Path:
        """Where the text of an error stays."""
        return Path(self.settings.work) / "site.log"


@app.query("describe")
def answer_describe(message: Message, context: Context) -> Message:
    """Say what this site has."""
    return _answer("describe", message, context)


@app.query("hints")
def answer_hints(message: Message, context: Context) -> Message:
    """Make this site's hints for the next generation; they stay here."""
    return _answer("hints", message, context)


@app.train()
def answer_train(message: Message, context: Context) -> Message:
    """Train one round."""
    return _answer("train", message, context)


@app.evaluate()
def answer_evaluate(message: Message, context: Context) -> Message:
    """Measure a model."""
    return _answer("evaluate", message, context)


def _answer(action: Action, message: Message, context: Context) -> Message:
    """Do what is asked; whatever goes wrong is written down here and leaves as a code."""
    question, place = Question(action, study=""), None
    try:
        place = _place(context)
        question = _question(action, message)
        _insist_on_protocol(message)
        departure = _worked(question, place)
    except Exception as error:  # nothing of an error's text may leave
        departure = fault_of(error, place.log if place else None)
    return _message(_sealed(question, departure, place), message)


def _place(context: Context) -> Place:
    """Find out who we are: a node that names its settings is a hospital, and has a policy."""
    if "site-settings" in context.node_config:
        path = Path(str(context.node_config["site-settings"]))
        return Place(load_settings(path), SiteHome(path.parent))
    run_folder = Path(str(context.run_config["run"]))
    return Place(
        settings_of_partition(run_folder, int(str(context.node_config["partition-id"]))), None
    )


def _question(action: Action, message: Message) -> Question:
    """Read a message; its word goes into ledger and reply, and must be as short as it should be."""
    config = message.content.config_records[wire.CONFIG]
    arrays = message.content.array_records[wire.ARRAYS]
    ask = str(config.get(wire.ASK_KEY))
    if not ASK.fullmatch(ask):
        raise UntrustedError(
            expected="a word of 32 hexadecimal digits",
            got=f"{len(ask):,} characters",
            where="a message of the coordinator",
            fix="Nothing was run; ask the coordinator",
        )
    return Question(
        action=action,
        study=str(config.get(wire.STUDY_KEY)),
        study_signature=str(config.get(wire.STUDY_SIGNATURE_KEY)),
        plan=str(config.get(wire.PLAN_KEY)),
        ask=ask,
        receipts=str(config.get(wire.RECEIPTS_KEY)),
        arrays={name: array.data for name, array in arrays.items()},
    )


def _insist_on_protocol(message: Message) -> None:
    protocol = message.content.config_records[wire.CONFIG].get(wire.PROTOCOL_KEY)
    if protocol != wire.PROTOCOL:
        raise StudyError(
            expected=f"protocol {wire.PROTOCOL}",
            got=str(protocol),
            where="message of the coordinator",
            fix="Install the same version of crisp-fl on both sides",
        )


def _worked(question: Question, place: Place) -> Departure:
    """Permit, compute and check one answer."""
    if place.home is None:
        request = _request(question, place, Study.model_validate_json(question.study))
        return checked(_computed(request), request, None)
    policy = load_policy(place.home.policy)
    request = _permitted(question, place, place.home, policy)
    departure = ask_resident(place.home.resident, request) or _computed(request)
    return checked(departure, request, policy)


def _permitted(question: Question, place: Place, home: SiteHome, policy: Policy) -> Request:
    """Believe nothing that the coordinator did not sign, and do nothing that was not approved."""
    coordinator_pem = coordinator_key(home)
    study = opened_study(_signed_study(question), coordinator_pem)
    keep_receipts(question.receipts, home, coordinator_pem)
    spent = spent_on(study.hash(), Ledger(home.ledger).entries())
    left = policy.max_epochs - spent.epochs
    request = _request(question, place, study, epochs_left=left, gpu_share=policy.gpu_share)
    permit(policy, request, datetime.now(tz=UTC).astimezone(), spent)
    return request


def _signed_study(question: Question) -> SignedStudy:
    try:
        return SignedStudy(study=question.study, signature=question.study_signature)
    except ValidationError:
        raise UntrustedError(
            expected="a study and a signature of their usual lengths",
            got="longer ones",
            where="a message of the coordinator",
            fix="Nothing was run; ask the coordinator",
        ) from None


def _request(
    question: Question,
    place: Place,
    study: Study,
    *,
    epochs_left: float = math.inf,
    gpu_share: float = 1.0,
) -> Request:
    return Request(
        settings=place.settings,
        study=study,
        plan=question.plan,
        parameters=arrays_of(question),
        action=question.action,
        ask=question.ask,
        epochs_left=epochs_left,
        gpu_share=gpu_share,
    )


def _computed(request: Request) -> Departure:
    """Work in this process."""
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # read when torch is first imported
    from crisp_client.actions import answered  # noqa: PLC0415 - torch: seconds that may be spared

    return answered(request)


def _sealed(question: Question, departure: Departure, place: Place | None) -> Answer:
    """Record, sign and write down an answer; what cannot be written down leaves as a code."""
    site = place.settings.site if place else ""
    try:
        answer = recorded(site, question, departure)
        return signed(answer, place.home) if place and place.home else answer
    except Exception as error:  # nothing of an error's text may leave
        return recorded(site, question, fault_of(error, place.log if place else None))


def _message(answer: Answer, message: Message) -> Message:
    departure = answer.departure
    config = ConfigRecord(
        {
            wire.SITE_KEY: answer.site,
            wire.FIGURES_KEY: departure.figures_text,
            wire.FAULT_KEY: departure.fault.model_dump_json() if departure.fault else "",
            wire.RECORD_KEY: answer.record.text(),
            wire.RECORD_SIGNATURE_KEY: answer.signature,
        }
    )
    content = RecordDict(
        {
            wire.ARRAYS: _record(departure.parameters, message),
            wire.CONFIG: config,
        }
    )
    return Message(content, reply_to=message)


def _record(parameters: Parameters, message: Message) -> ArrayRecord:
    """Return the arrays as they came: packed into one, or each by its name."""
    if parameters and set(message.content.array_records[wire.ARRAYS]) == {wire.PACKED}:
        return ArrayRecord({wire.PACKED: Array(np.frombuffer(packed(parameters, {}), np.uint8))})
    return ArrayRecord({name: Array(array) for name, array in parameters.items()})
