"""What of a call's events becomes a webhook, and with what in it."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.call.events import (
    ReplyCreated,
    ReplyDone,
    ToolReturned,
    TranscriptCompleted,
    TurnCommitted,
    TurnDropped,
    TurnLatency,
)
from pipeline.call.options import CallOptions
from pipeline.engines.protocols import ToolCall
from pipeline.tools.toolbox import ToolResult
from server.calls.call_record import CallRecord
from server.observability.metrics import Metrics
from server.webhooks.calls import CallWebhooks
from server.webhooks.webhooks import Webhooks
from tests.media.calls import until
from tests.server.webhooks.receiving import SECRET, Receiving, receiving
from tests.server.webhooks.test_webhooks import QUICK


class Spoken:
    """A call as far as webhooks look at it, with the real record of its events."""

    def __init__(self, recording: Any = None) -> None:
        self.id, self.kind, self.has_begun = "call_1", "call", True
        self.options = CallOptions(user_id="ada", conversation_id="7f", language="en")
        self.recording = recording
        self.ended_reason = "hangup"
        self.record = CallRecord()

    def describe(self) -> dict[str, Any]:
        return self.record.describe()


@pytest.fixture
async def hook() -> AsyncIterator[Receiving]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def told(hook: Receiving, tmp_path: Path) -> AsyncIterator[CallWebhooks]:
    webhooks = Webhooks((hook.url,), SECRET, tmp_path / "data", Metrics(), patience=QUICK)
    await webhooks.open()
    told = CallWebhooks(webhooks)
    yield told
    await told.close()


def happen(told: CallWebhooks, call: Any, *events: Any) -> None:
    for event in events:
        call.record.add(event)
        told.add(call, event)


SAID = TranscriptCompleted("u1", "What time is it?", "en", 1.2, 0.9)
ANSWERED = (
    ReplyCreated("r1", "a1", "u1"),
    TurnLatency("u1", 412.34),
    ReplyDone("r1", "a1", "completed", None, "Noon."),
)


async def test_a_call_is_told_from_its_beginning_to_its_end(hook: Receiving, told: CallWebhooks) -> None:
    call: Any = Spoken()
    told.begun(call)
    happen(told, call, TurnCommitted("u1", None), SAID, *ANSWERED)
    told.ended(call)
    await until(lambda: len(hook.taken) == 3)
    started, turn, ended = (each["data"] for each in hook.taken)
    assert hook.types == ["call.started", "turn.completed", "call.ended"]
    whose = {"call_id": "call_1", "conversation_id": "7f", "user_id": "ada", "kind": "call"}
    assert all(data.items() >= whose.items() for data in (started, turn, ended))
    asked = {"text": "What time is it?", "typed": False, "language": "en", "duration_s": 1.2}
    assert turn["user"] == asked | {"voice_to_voice_ms": 412.3}
    assert turn["reply"] == {"item_id": "a1", "text": "Noon.", "status": "completed"}
    assert (ended["reason"], ended["summary"]["turns"], ended["summary"]["voice_to_voice_ms"]) == ("hangup", 1, 412.3)
    said = [(each["role"], each["text"]) for each in ended["summary"]["transcript"]]
    assert said == [("user", "What time is it?"), ("assistant", "Noon.")]


async def test_a_greeting_is_a_turn_to_which_nobody_said_anything(hook: Receiving, told: CallWebhooks) -> None:
    greeting = (ReplyCreated("r0", "a0", None), ReplyDone("r0", "a0", "completed", None, "Hello."))
    happen(told, Spoken(), *greeting)
    await until(lambda: bool(hook.taken))
    assert (hook.taken[0]["data"]["user"], hook.taken[0]["data"]["reply"]["text"]) == (None, "Hello.")


async def test_a_turn_that_was_none_and_a_reply_that_nobody_heard_are_not_told(
    hook: Receiving, told: CallWebhooks
) -> None:
    call: Any = Spoken()
    unheard = (ReplyCreated("r1", "a1", "u1"), ReplyDone("r1", "a1", "cancelled", "turn_detected", ""))
    happen(told, call, TurnCommitted("u1", None), TurnDropped("u1"), *unheard)
    told.ended(call)
    await until(lambda: bool(hook.taken))
    assert hook.types == ["call.ended"]


async def test_a_tool_is_told_with_what_it_was_asked_and_what_came_of_it(hook: Receiving, told: CallWebhooks) -> None:
    result = ToolResult(ToolCall("c1", "weather", '{"city": "Ulm"}'), '{"celsius": 7}', failed=False, seconds=0.25)
    happen(told, Spoken(), ToolReturned("r1", "t1", result))
    await until(lambda: bool(hook.taken))
    data = hook.taken[0]["data"]
    assert (data["name"], data["arguments"], data["content"]) == ("weather", '{"city": "Ulm"}', '{"celsius": 7}')
    assert (data["tool_call_id"], data["failed"], data["duration_ms"]) == ("c1", False, 250.0)


async def test_a_recording_is_told_of_once_its_file_is_whole(
    hook: Receiving, told: CallWebhooks, tmp_path: Path
) -> None:
    path, done = tmp_path / "20260101T000000Z-call_1.ogg", Future[None]()
    told.ended(Spoken(SimpleNamespace(path=path, ended=done)))  # type: ignore[arg-type]
    await until(lambda: bool(hook.taken))
    assert hook.types == ["call.ended"]
    path.write_bytes(b"OggS")
    done.set_result(None)
    await until(lambda: len(hook.taken) == 2)
    data = hook.taken[1]["data"]
    assert (hook.types[1], data["bytes"]) == ("recording.ready", 4)
    assert data["path"] == f"/api/conversations/7f/recordings/{path.name}"


async def test_a_recording_that_was_deleted_is_not_told_of(hook: Receiving, told: CallWebhooks, tmp_path: Path) -> None:
    done = Future[None]()
    done.set_result(None)
    told.ended(Spoken(SimpleNamespace(path=tmp_path / "gone.ogg", ended=done)))  # type: ignore[arg-type]
    await asyncio.wait_for(told.close(), 60)
    assert "recording.ready" not in hook.types
