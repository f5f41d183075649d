"""What of a call is told by webhooks: that it began, its turns, its tools, its end, its recording."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import structlog

from media.recording import Recording
from media.recording_file import duration_s
from pipeline.call.events import (
    CallEvent,
    ReplyCreated,
    ReplyDone,
    ToolReturned,
    TranscriptCompleted,
    TurnCommitted,
    TurnDropped,
    TurnLatency,
)
from pipeline.call.options import CallOptions
from server.bounds import MAX_WEBHOOK_TOOL_CHARS
from server.webhooks.webhooks import Webhooks

FINISH_S = 10.0
"""For which the end of a server waits for its recordings to be told of."""

log = structlog.get_logger(__name__)


class TellingCall(Protocol):
    """What is told of a call (`server.calls.call.Call`)."""

    id: str
    options: CallOptions
    recording: Recording | None
    ended_reason: str | None

    @property
    def kind(self) -> Any:
        """What it is on."""

    @property
    def has_begun(self) -> bool:
        """Whether it could ever be spoken on."""

    def describe(self) -> dict[str, Any]:
        """As `GET /api/calls/{id}` shows it."""


class CallWebhooks:
    """Makes webhooks of the events of calls.

    Args:
        webhooks: tells them.
    """

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks
        self._turns: dict[str, _Turns] = {}
        self._finishing: set[asyncio.Task[None]] = set()

    def begun(self, call: TellingCall) -> None:
        """A call can be spoken on."""
        self._webhooks.tell("call.started", _about(call) | {"language": call.options.language or None})

    def add(self, call: TellingCall, event: CallEvent) -> None:
        """Something happened in a call. What goes wrong here is told in the log, and the call goes on."""
        try:
            self._add(call, event)
        except Exception as error:
            log.error("no webhook made", call_id=call.id, event_type=type(event).__name__, exc_info=error)

    def ended(self, call: TellingCall) -> None:
        """A call is over, and all that it had is free."""
        self._turns.pop(call.id, None)
        if not call.has_begun:
            return
        if self._webhooks.wants("call.ended"):
            self._webhooks.tell("call.ended", _about(call) | _summary(call))
        if call.recording is not None and self._webhooks.wants("recording.ready"):
            task = asyncio.create_task(self._recorded(call, call.recording), name=f"recording of {call.id}")
            self._finishing.add(task)
            task.add_done_callback(self._finishing.discard)

    async def close(self) -> None:
        """Tell of the recordings that are being finished, and stop."""
        if self._finishing:
            await asyncio.wait(self._finishing, timeout=FINISH_S)
        await self._webhooks.close()

    def _add(self, call: TellingCall, event: CallEvent) -> None:
        if isinstance(event, ToolReturned):
            result = event.result
            self._webhooks.tell(
                "tool.returned",
                _about(call)
                | {
                    "tool_call_id": result.call.id,
                    "name": result.call.name,
                    "arguments": result.call.arguments[:MAX_WEBHOOK_TOOL_CHARS],
                    "content": result.content[:MAX_WEBHOOK_TOOL_CHARS],
                    "failed": result.failed,
                    "duration_ms": None if result.seconds is None else round(result.seconds * 1000, 1),
                },
            )
            return
        if self._webhooks.wants("turn.completed"):
            turn = self._turns.setdefault(call.id, _Turns()).add(event)
            if turn is not None:
                self._webhooks.tell("turn.completed", _about(call) | turn)

    async def _recorded(self, call: TellingCall, recording: Recording) -> None:
        await asyncio.wait([asyncio.wrap_future(recording.ended)])
        size, seconds = await asyncio.to_thread(_measured, recording.path)
        if size is None:
            return
        about, name = _about(call), recording.path.name
        path = f"/api/conversations/{about['conversation_id']}/recordings/{name}"
        self._webhooks.tell(
            "recording.ready", about | {"name": name, "path": path, "bytes": size, "duration_s": seconds}
        )


class _Turns:
    """The turns of one call that are not told yet."""

    def __init__(self) -> None:
        self._asked: dict[str, dict[str, Any]] = {}
        self._answers: dict[str, str] = {}

    def add(self, event: CallEvent) -> dict[str, Any] | None:
        """Take in an event; a turn that is complete, with what was heard of its answer."""
        match event:
            case TurnCommitted() if event.typed is not None:
                self._asked[event.item_id] = {"text": event.typed, "typed": True}
            case TranscriptCompleted():
                told = {"text": event.text, "typed": False, "language": event.language}
                self._asked[event.item_id] = told | {"duration_s": round(event.duration_s, 3)}
            case TurnDropped():
                self._asked.pop(event.item_id, None)
            case TurnLatency() if event.item_id in self._asked:
                self._asked[event.item_id]["voice_to_voice_ms"] = round(event.voice_to_voice_ms, 1)
            case ReplyCreated() if event.previous_item_id is not None:
                self._answers[event.item_id] = event.previous_item_id
            case ReplyDone():
                turn = self._answers.pop(event.item_id, None)
                asked = self._asked.pop(turn, None) if turn is not None and event.text else None
                heard = {"item_id": event.item_id, "text": event.text, "status": event.status}
                return {"item_id": turn, "user": asked, "reply": heard} if event.text else None
        return None


def _about(call: TellingCall) -> dict[str, Any]:
    options = call.options
    ids = {"call_id": call.id, "conversation_id": options.conversation_id, "user_id": options.user_id}
    return ids | {"kind": call.kind}


def _summary(call: TellingCall) -> dict[str, Any]:
    """How the call was, and what was said in it: its last turns, as many as a server keeps in memory."""
    described = call.describe()
    turns: list[Mapping[str, Any]] = described["turns"]
    waits = [turn["voice_to_voice_ms"] for turn in turns if turn["voice_to_voice_ms"] is not None]
    said = [{name: turn[name] for name in ("role", "text", "interrupted")} for turn in turns]
    return {
        "reason": call.ended_reason,
        "started_at": described["started_at"],
        "duration_s": described["duration_s"],
        "summary": {
            "turns": sum(turn["role"] == "user" for turn in turns),
            "interruptions": sum(turn["interrupted"] for turn in turns),
            "voice_to_voice_ms": round(median(waits), 1) if waits else None,
            "transcript": said,
        },
    }


def _measured(path: Path) -> tuple[int | None, float | None]:
    """Bytes and seconds of a recording; None, None where it was deleted."""
    try:
        return path.stat().st_size, duration_s(path)
    except OSError:
        return None, None
