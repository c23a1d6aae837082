"""One step on its way: who is asked, who is asked again, and how long anybody is waited for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from flwr.app import ArrayRecord, Message
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from crisp_core.arrays import Parameters
from crisp_core.errors import HintsMissingError
from crisp_core.schema.record import Action
from crisp_server.countersign import Notary, Question
from crisp_server.flower.messages import message_of, reply_of
from crisp_server.sites import SiteReply

POLL_S = 0.2
SLOWEST_POLL_S = 1.0
PATIENCE = 0.1
"""Share of the time without news after which to look again."""
MOST_LOSSES = 2
_VANISHED = ErrorCode.NODE_UNAVAILABLE
_LOST = (
    ErrorCode.CLIENT_APP_CRASHED,
    ErrorCode.MESSAGE_UNAVAILABLE,
    ErrorCode.REPLY_MESSAGE_UNAVAILABLE,
)


@dataclass(frozen=True)
class Step:
    """What all sites of one step have in common."""

    action: Action
    arrays: ArrayRecord
    received: str
    """Content hash of the arrays; empty without any."""
    sent: Parameters | None
    """Bounds what may come back; None where no arrays may."""
    needed: int
    """Answers with which the step can do without those that are absent."""
    timeout_s: float
    ttl_s: float


@dataclass(frozen=True)
class Asked:
    """A question on its way and the message that carries it."""

    message_id: str
    question: Question


class Exchange:
    """Asks each site as soon as it is there, and yields answers as they arrive.

    A site whose node vanished is asked again when it is back; one whose app died, or whose answer
    was lost on the way, at most twice. Nobody is waited for beyond the deadline, and nobody absent
    once no site works any more and enough have answered, or too few are left to make it enough.
    """

    def __init__(
        self,
        grid: Grid,
        notary: Notary,
        step: Step,
        places: Callable[[], Mapping[str, int]],
        on_absent: Callable[[list[str]], None],
    ) -> None:
        self._grid, self._notary, self._step = grid, notary, step
        self._places, self._on_absent = places, on_absent
        self._plans: Mapping[str, str] = {}
        self._unasked: list[str] = []
        self._absent: list[str] = []
        self._losses: Counter[str] = Counter()
        self._good_count = 0
        self.asked: dict[str, Asked] = {}
        """Questions without an answer; after the last reply: those of the stragglers."""

    def replies(
        self, plans: Mapping[str, str], asked_before: Mapping[str, Asked]
    ) -> Iterator[tuple[Question, SiteReply]]:
        """Ask every site of `plans`, but those that are still at work on an earlier question."""
        self._plans, self.asked = plans, dict(asked_before)
        self._unasked = [site for site in plans if site not in asked_before]
        news_at = time.monotonic()
        deadline = news_at + self._step.timeout_s
        while True:
            is_last = time.monotonic() >= deadline
            if not is_last:
                self._send()
            before = self._good_count, len(self.asked)
            for site in list(self.asked):  # once after the deadline too: one may have held us up
                yield from self._pulled(site)
            now = time.monotonic()
            if self._over() or is_last:
                return
            if before != (self._good_count, len(self.asked)):
                news_at = now
                continue
            pause = max(POLL_S, PATIENCE * (now - news_at))
            time.sleep(max(0.0, min(pause, SLOWEST_POLL_S, deadline - now)))

    def _send(self) -> None:
        """Ask whoever is there and was not asked; say when it changes who is absent."""
        places = self._places() if self._unasked else {}
        there = [site for site in self._unasked if site in places]
        questions = [self._question(site) for site in there]
        messages = [
            message_of(question, self._notary, self._step.arrays, places[site], self._step.ttl_s)
            for site, question in zip(there, questions, strict=True)
        ]
        ids = list(self._grid.push_messages(messages)) if messages else []
        for site, question, message_id in zip(there, questions, ids, strict=False):
            if message_id:  # Flower gives none for a node that was unregistered since
                self.asked[site] = Asked(message_id, question)
                self._unasked.remove(site)
        if self._unasked != self._absent:
            self._absent = list(self._unasked)
            self._on_absent(self._absent)

    def _question(self, site: str) -> Question:
        return Question(site, self._step.action, self._plans[site], self._step.received)

    def _pulled(self, site: str) -> Iterator[tuple[Question, SiteReply]]:
        asked = self.asked[site]
        for message in self._grid.pull_messages([asked.message_id]):
            del self.asked[site]
            if self._is_asked_again(site, message):
                self._unasked.append(site)
                return
            reply = reply_of(message, asked.question, self._notary, self._step.sent)
            mendable = reply.fault is None or reply.fault.code == HintsMissingError.code
            self._good_count += mendable
            yield asked.question, reply
            return

    def _is_asked_again(self, site: str, message: Message) -> bool:
        if not message.has_error() or message.error.code == _VANISHED:
            return message.has_error()
        self._losses[site] += message.error.code in _LOST
        return message.error.code in _LOST and self._losses[site] <= MOST_LOSSES

    def _over(self) -> bool:
        absent, good, needed = len(self._unasked), self._good_count, self._step.needed
        if self.asked:
            return False
        return not absent or good >= needed or good + absent < needed
