"""`python -m crisp_client.daemon.supernode`: Flower's SuperNode, made to fail visibly and end well.

Flower's own returns from its main loop after an answer that it does not understand while another
thread keeps the process alive, deaf for ever; loses a finished reply to one HTTP 500; does not say
why it cannot connect; is locked out for a minute after it was killed; waits for ever for an app
that was stopped; and knows no way to stop between two tasks.

Arguments are those of `flower-supernode`. The file named in CRISP_CONTACT is touched at each
heartbeat that the coordinator has answered. SIGUSR1 asks it to finish what it has begun, send it,
and end.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from logging import WARNING
from pathlib import Path
from types import FrameType

import httpx
from flwr.common.constant import SubStatus
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    ActivateNodeResponse,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PullMessagesResponse,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest, SendNodeHeartbeatResponse
from flwr.supercore import heartbeat, log
from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.supercore.retry import RetryInvoker, http_retry
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode.cli.flower_supernode import flower_supernode
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.nodestate import InMemoryNodeState, nodestate_factory

from crisp_client.daemon.link import CONTACT_VARIABLE
from crisp_client.daemon.replaced import quick, replace_names
from crisp_client.daemon.trouble import MARK, is_node_refusal, trouble_of
from crisp_core.processes.leash import end_with_parent

EXIT_DEAF = 75
"""Exit code for "try again": the main loop or the heartbeat has ended, the process had not."""
HEARTBEAT_S = 15
"""Flower's 30 s let a dead node stand for a living one for a minute; this halves it, and still
outlasts a break of 20 s in a hospital's line."""
POLL_S = 0.2
PATIENCE = 0.1
"""Flower asks for work every 3 s. We wait this share of the time that we have been without, at most
as long as Flower: who has just answered is soon asked again, who waits long costs little."""
NOTICED_S = 8.0
"""Seconds in which the coordinator's app surely looks at this node once: it does every 3 s. A reply
that waits there is lost if its node is gone when it looks; work that died with a former life of
this node is given up only if its node is gone when it looks."""
NODE_FILE = "node"
PATIENT = frozenset({500, 502, 503, 504})
"""HTTP answers after which to try again; 500 is ours: a busy database must not cost a round."""

_leaving = threading.Event()


class Pace:
    """How long Flower's main loop sleeps until it looks for work or an answer again."""

    def __init__(self) -> None:
        self.has_work = False
        self._busy_until = time.monotonic()

    def sleep(self, wanted_s: float) -> None:
        """Sleep, at most as long as Flower wants to."""
        if self.has_work:
            self._busy_until = time.monotonic()
        free_s = time.monotonic() - self._busy_until
        time.sleep(min(wanted_s, max(POLL_S, PATIENCE * free_s)))


_pace = Pace()


def main() -> None:
    """Connect and work until stopped; never return."""
    end_with_parent()
    threading.excepthook = _end_with_thread
    signal.signal(signal.SIGUSR1, _leave_soon)
    _contact().unlink(missing_ok=True)
    _teach_flower()
    flower_supernode()
    os._exit(EXIT_DEAF)


class SiteClient(FleetHttpClient):
    """Flower's connection to the coordinator, with our manners."""

    def ActivateNode(self, request: ActivateNodeRequest) -> ActivateNodeResponse:  # noqa: N802 - Flower's name
        """Log in; where a former life of this node still counts as alive, log that out first.

        It stays out long enough for the coordinator to see that its work is lost. Only on the
        machine where that life was: a copied home must not push the original out.
        """
        try:
            answer = super().ActivateNode(request)
        except httpx.HTTPStatusError as error:
            former = _former_node()
            if former is None or not is_node_refusal(error.response):
                raise
            with suppress(httpx.HTTPStatusError):
                self.DeactivateNode(DeactivateNodeRequest(node_id=former))
                time.sleep(NOTICED_S)
            answer = super().ActivateNode(request)
        _node_file().write_text(f"{answer.node_id} {socket.gethostname()}")
        return answer

    def SendNodeHeartbeat(self, request: SendNodeHeartbeatRequest) -> SendNodeHeartbeatResponse:  # noqa: N802 - Flower's name
        """Say that we live; leave a trace of the answer."""
        try:
            answer = super().SendNodeHeartbeat(request)
        except httpx.HTTPError as error:
            _tell(error)
            if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in PATIENT:
                raise httpx.ReadError(str(error)) from error  # Flower tries again after these
            raise
        if answer.success:
            _contact().touch()
        return answer

    def PullMessages(self, request: PullMessagesRequest) -> PullMessagesResponse:  # noqa: N802 - Flower's name
        """Ask for work, unless we are to leave: then this is the moment between two tasks.

        Whoever had work the last time has just sent the answer.
        """
        if _leaving.is_set():
            time.sleep(NOTICED_S if _pace.has_work else 0)
            signal.raise_signal(signal.SIGTERM)
        answer = super().PullMessages(request)
        _pace.has_work = bool(answer.messages_list)
        return answer


class SiteState(InMemoryNodeState):
    """What the node knows of its tasks: one that ends without an answer is an error reply.

    Flower's waits for ever for the answer of an app that was told to stop.
    """

    def finish_task(self, task_id: int, sub_status: str, details: str) -> bool:
        """Finish a task; see to it that its message is answered."""
        finished = super().finish_task(task_id, sub_status, details)
        if finished and sub_status == SubStatus.FAILED:
            tasks = self.get_tasks(task_ids=[task_id])
            runs = [task.run_id for task in tasks]
            self.get_messages_legacy(run_ids=runs, is_reply=False)  # else they wait for an app
            self._on_task_tokens_expired(list(tasks))
        return finished


def _teach_flower() -> None:
    """Put our behaviour in the places of Flower's modules that this version has."""
    replace_names(heartbeat, HEARTBEAT_DEFAULT_INTERVAL=HEARTBEAT_S)
    replace_names(http_retry, _RETRYABLE_STATUS_CODES=PATIENT)
    replace_names(
        fleet_http_connection,
        HEARTBEAT_DEFAULT_INTERVAL=HEARTBEAT_S,
        FleetHttpClient=SiteClient,
        make_simple_http_retry_invoker=_talkative_retries,
    )
    replace_names(nodestate_factory, InMemoryNodeState=SiteState)
    replace_names(start_client_internal, time=_pace, pull_objects=quick(pull_objects))


def _talkative_retries() -> RetryInvoker:
    """Return Flower's retries, which say what went wrong and also outlast a proxy's mood."""
    retries = http_retry.make_simple_http_retry_invoker()
    judge = retries.should_giveup

    def told_and_judged(error: Exception) -> bool:
        _tell(error)
        return judge is not None and judge(error)

    retries.should_giveup = told_and_judged
    retries.recoverable_exceptions = (httpx.TransportError, httpx.HTTPStatusError)
    return retries


def _tell(error: Exception) -> None:
    log(WARNING, "%s%s", MARK, trouble_of(error, datetime.now(UTC)))


def _contact() -> Path:
    return Path(os.environ[CONTACT_VARIABLE])


def _node_file() -> Path:
    return _contact().with_name(NODE_FILE)


def _former_node() -> int | None:
    """Return the number under which this machine was connected last."""
    with suppress(OSError, ValueError):
        number, host = _node_file().read_text().split(maxsplit=1)
        return int(number) if host == socket.gethostname() else None
    return None


def _leave_soon(_number: int, _frame: FrameType | None) -> None:
    _leaving.set()


def _end_with_thread(failure: threading.ExceptHookArgs) -> None:
    """End with the heartbeat or the local server: without either this node is deaf."""
    log(WARNING, "a thread ended: %s", failure.exc_type.__name__)
    os._exit(EXIT_DEAF)


if __name__ == "__main__":
    main()
