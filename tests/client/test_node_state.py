"""A task that ends without an answer must not leave the node waiting for one."""

from __future__ import annotations

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.constant import ErrorCode, SubStatus
from flwr.supercore.constant import TaskType
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.nodestate import InMemoryNodeState

from crisp_client.daemon.supernode import SiteState

RUN = 7


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> SiteState:
    """A node with one question and one task at work on it."""
    for name, value in {"_run_id": RUN, "_node_id": 1, "_task_id": 3}.items():
        monkeypatch.setattr(TaskIdentity, name, value)
    return SiteState(ObjectStoreFactory().store())


def task_of(state: InMemoryNodeState) -> int:
    question = Message(
        RecordDict({"c": ConfigRecord({"a": 1})}), dst_node_id=1, message_type="train"
    )
    question.metadata.__dict__["_message_id"] = question.object_id
    state.store_message(question)
    state.record_message_processing_start(question.metadata.message_id)
    task = state.create_task(TaskType.CLIENT_APP, run_id=RUN, fab_hash="f")
    state.claim_task(task)
    state.activate_task(task)
    return task


@pytest.mark.parametrize("has_read_it", [True, False])
def test_an_app_that_is_stopped_answers_with_an_error(state: SiteState, has_read_it: bool) -> None:
    task = task_of(state)
    if has_read_it:
        state.get_messages_legacy(run_ids=[RUN], is_reply=False)

    assert state.finish_task(task, SubStatus.FAILED, "stopped")

    [reply] = state.get_messages_legacy(is_reply=True)
    assert reply.error.code == ErrorCode.CLIENT_APP_CRASHED


def test_an_app_that_has_answered_answers_once(state: SiteState) -> None:
    task = task_of(state)
    [question] = state.get_messages_legacy(run_ids=[RUN], is_reply=False)
    answer = Message(RecordDict({"c": ConfigRecord({"b": 2})}), reply_to=question)
    answer.metadata.__dict__["_message_id"] = answer.object_id
    state.store_message(answer)

    state.finish_task(task, SubStatus.FAILED, "it raised")

    [reply] = state.get_messages_legacy(is_reply=True)
    assert reply.has_content()
