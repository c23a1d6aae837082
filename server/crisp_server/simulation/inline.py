"""The inline engine: the real ServerApp and ClientApp in one process, sites in turn, no Ray."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.object_ref import load_app
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from crisp_server.flower import app as server_app

CLIENT_APP = "crisp_client.flower:app"
FIRST_NODE = 2


def run_inline(run_folder: Path, site_count: int) -> None:
    """Run the whole federation of `run_folder` in this process."""
    config = {"run": str(run_folder)}
    grid = InProcessGrid(site_count, run_folder)
    server_app(grid, Context(1, SUPERLINK_NODE_ID, {}, RecordDict(), dict(config)))


class InProcessGrid(Grid):
    """Every node is the real ClientApp, called when its reply is pulled: one update at a time."""

    def __init__(self, site_count: int, run_folder: Path) -> None:
        self._app: ClientApp = load_app(CLIENT_APP, ValueError)
        self.set_run(Run.create_empty(run_id=1))
        self._contexts = {
            FIRST_NODE + place: Context(
                1,
                FIRST_NODE + place,
                {"partition-id": place, "num-partitions": site_count},
                RecordDict(),
                {"run": str(run_folder)},
            )
            for place in range(site_count)
        }
        self._waiting: dict[str, Message] = {}
        self._sent_count = 0

    def set_run(self, run: Run) -> None:
        """Take the identity that Flower gives a ServerApp's process."""
        self._run = run
        TaskIdentity.run_id, TaskIdentity.task_id = run.run_id, 1
        TaskIdentity.node_id = SUPERLINK_NODE_ID

    @property
    def run(self) -> Run:
        """The run that messages belong to."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Build a message of this run."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """Return every site's node."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Keep messages until their replies are pulled."""
        return [self._push(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterator[Message]:
        """Let the sites answer, one after the other."""
        for message_id in message_ids:
            if message_id in self._waiting:
                yield self._answer(message_id, self._waiting.pop(message_id))

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Push, then pull all; sites in this process are never late."""
        del timeout
        return list(self.pull_messages(self.push_messages(messages)))

    def _push(self, message: Message) -> str:
        self._sent_count += 1
        message_id = str(self._sent_count)
        message.metadata.__dict__["_message_id"] = message_id  # no setter: Flower's Grid does this
        self._waiting[message_id] = message
        return message_id

    def _answer(self, message_id: str, message: Message) -> Message:
        """Call the ClientApp as Flower does: what it raises becomes an error reply."""
        context = self._contexts[message.metadata.dst_node_id]
        try:
            reply = self._app(message=message, context=context)
        except Exception as error:  # whatever a site raises must not end the others
            reason = type(error).__name__
            reply = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)
        reply.metadata.__dict__["_message_id"] = f"{message_id}-reply"
        return reply
