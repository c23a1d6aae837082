"""Questions as Flower's messages, and Flower's messages as answers."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from crisp_core.arrays import Parameters
from crisp_core.errors import RunStateError, UpdateRefusedError
from crisp_core.files.checkpoint import packed, unpacked
from crisp_core.schema import wire
from crisp_core.schema.messages import SiteFault
from crisp_server.countersign import Answer, Notary, Question, untrusted
from crisp_server.sites import SiteReply

LONGEST_TEXT = 64_000_000
HEADER_BYTES = 4096
"""More than the header of any array that we send."""
NPY_VERSION = (1, 0)


class _OversizeError(Exception):
    """More comes than was asked for."""

    def __init__(self, got: str) -> None:
        super().__init__(got)
        self.got = got


def message_of(
    question: Question, notary: Notary, arrays: ArrayRecord, node: int, ttl_s: float
) -> Message:
    """Put a question on its way; it expires after `ttl_s`."""
    config = ConfigRecord(
        {
            wire.PROTOCOL_KEY: wire.PROTOCOL,
            wire.STUDY_KEY: notary.study_text,
            wire.STUDY_SIGNATURE_KEY: notary.study_signature,
            wire.PLAN_KEY: question.plan,
            wire.ASK_KEY: question.ask,
            wire.RECEIPTS_KEY: notary.receipts(question.site),
        }
    )
    return Message(
        RecordDict({wire.ARRAYS: arrays, wire.CONFIG: config}),
        dst_node_id=node,
        message_type=wire.MESSAGE_TYPES[question.action],
        ttl=ttl_s,
    )


def array_record(parameters: Parameters, *, pack: bool) -> ArrayRecord:
    """Return the arrays as Flower carries them, packed into one for the way between machines."""
    if pack and parameters:
        return ArrayRecord({wire.PACKED: Array(np.frombuffer(packed(parameters, {}), np.uint8))})
    return ArrayRecord({name: Array(array) for name, array in parameters.items()})


def reply_of(
    message: Message, question: Question, notary: Notary, sent: Parameters | None
) -> SiteReply:
    """Read a reply; whatever is wrong with it becomes a fault like any other.

    Args:
        message: What Flower brought back.
        question: What it answers; without a site's name in a simulation's first question.
        notary: Checks the site's record of it.
        sent: The model that went out: no more bytes than that come in. None where no array may.
    """
    if message.has_error():
        fault = SiteFault(code=f"flower-{message.error.code}", sentence="The site did not finish")
        return SiteReply(question.site, fault=fault)
    question = _named(question, message)
    try:
        answer = _answer(message, sent or {})
    except _OversizeError as error:
        fault = SiteFault(code=UpdateRefusedError.code, sentence=f"it brings {error.got}")
        return SiteReply(question.site, fault=fault)
    except (KeyError, ValueError, TypeError, EOFError, RunStateError):
        return untrusted(question.site, "its answer cannot be read")
    return notary.reply(question, answer)


def _named(question: Question, message: Message) -> Question:
    """Take the name that the site gives itself, where nobody has given it one."""
    if question.site:
        return question
    config = message.content.config_records.get(wire.CONFIG, ConfigRecord())
    return replace(question, site=str(config.get(wire.SITE_KEY, "")))


def _answer(message: Message, sent: Parameters) -> Answer:
    config = message.content.config_records[wire.CONFIG]
    answer = Answer(
        figures=str(config[wire.FIGURES_KEY]),
        fault=str(config[wire.FAULT_KEY]),
        record=str(config[wire.RECORD_KEY]),
        signature=str(config[wire.RECORD_SIGNATURE_KEY]),
        parameters=_arrays(message.content.array_records[wire.ARRAYS], sent),
    )
    if max(map(len, (answer.figures, answer.fault, answer.record))) > LONGEST_TEXT:
        got = "more text than any answer has"
        raise _OversizeError(got)
    return answer


def _arrays(record: Mapping[str, Array], sent: Parameters) -> Parameters:
    """Unpack arrays that are together no larger than what was sent, and as large as they say."""
    room = sum(array.nbytes for array in sent.values()) + HEADER_BYTES * len(sent)
    if len(record) > len(sent) or sum(len(array.data) for array in record.values()) > room:
        got = "more or larger arrays than were asked for"
        raise _OversizeError(got)
    if any(_promised_bytes(array.data) > len(array.data) for array in record.values()):
        got = "an array that claims to be larger than it is"
        raise _OversizeError(got)
    if set(record) == {wire.PACKED}:
        return unpacked(record[wire.PACKED].numpy().tobytes())
    return {name: array.numpy() for name, array in record.items()}


def _promised_bytes(data: bytes) -> int:
    """Return the length that an array's own header promises: numpy would make room for it."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != NPY_VERSION:
        message = "an array in another format"
        raise ValueError(message)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
