"""Writes a call down as it happens. Nothing here waits: what is written goes into memory's journal and returns."""

from collections.abc import Mapping
from typing import Any

import structlog

from persistence.conversation_log import ConversationLog
from persistence.errors import InvalidTextError
from persistence.memory import Memory
from persistence.values import AudioTranscription
from pipeline.call.events import (
    CallEvent,
    CallFault,
    KeyHeard,
    ReplyCreated,
    ReplyDone,
    StateChanged,
    ToolReturned,
    TranscriptCompleted,
    TurnCommitted,
    TurnDropped,
    TurnLatency,
    TurnUnclear,
)
from pipeline.call.state import State
from server.conversations.tools import keep_tool_result

log = structlog.get_logger(__name__)


class CallMemory:
    """Listens to the events of one call and keeps its conversation.

    Args:
        memory: where to.
        writer: of the call's conversation, with the session begun.
        stt_model: name of the model that transcribes.
    """

    def __init__(self, memory: Memory, writer: ConversationLog, stt_model: str) -> None:
        assert writer.session is not None
        self._memory = memory
        self._writer = writer
        self._session_id = writer.session.id
        self._stt_model = stt_model
        self._turns: set[str] = set()
        self._answers: dict[str, str] = {}
        self._latency: dict[str, dict[str, float]] = {}
        self._after_turn: list[str] = []

    def add(self, event: CallEvent) -> None:
        """Take in an event; what cannot be stored is told in the log, and the call goes on."""
        try:
            self._add(event)
        except InvalidTextError as error:
            log.warning("not kept", event_type=type(event).__name__, problem=str(error))
        except Exception as error:
            log.error("not kept", event_type=type(event).__name__, exc_info=error)

    def end(self, reason: str, stats: Mapping[str, Any]) -> None:
        """The call is over.

        Args:
            reason: why.
            stats: of its media and its turns, as JSON values.
        """
        self._memory.end_session(self._session_id, reason, stats)

    def _add(self, event: CallEvent) -> None:
        match event:
            case StateChanged() if event.state is not State.ENDED:
                self._writer.state(event.state.value)
            case TurnCommitted():
                self._turn_begins(event)
            case TranscriptCompleted():
                self._said(event)
            case TurnDropped() if event.item_id in self._turns:
                self._turns.discard(event.item_id)
                self._writer.remove(event.item_id)
            case TurnUnclear():
                self._writer.event({"type": "unclear", "session_id": self._session_id, "item_id": event.item_id})
            case ReplyCreated() if event.previous_item_id in self._turns:
                self._answers[event.item_id] = event.previous_item_id or ""
            case TurnLatency():
                self._measured(event)
            case ToolReturned():
                keep_tool_result(self._writer, event.item_id, event.result)
            case ReplyDone():
                self._replied(event)
            case KeyHeard():
                self._writer.event({"type": "key", "session_id": self._session_id, "key": event.key})
            case CallFault():
                self._writer.event({"type": "error", "code": event.code})

    def _turn_begins(self, event: TurnCommitted) -> None:
        if event.continued:
            # The call forgot what it had begun to answer when the user went on, and so does memory.
            for item_id in self._after_turn:
                self._writer.remove(item_id)
        self._after_turn.clear()
        self._turns.add(event.item_id)
        if event.typed is not None:
            self._writer.user_turn(event.item_id, event.typed, metadata={"typed": True})
            self._tell("transcript", event.item_id, event.typed, role="user", final=True)

    def _said(self, event: TranscriptCompleted) -> None:
        duration_ms = round(event.duration_s * 1000)
        self._writer.user_turn(
            event.item_id,
            event.text,
            language=event.call_language or event.language,
            metadata={"duration_ms": duration_ms},
        )
        self._writer.transcription(
            AudioTranscription(
                self._session_id,
                event.text,
                event.language,
                event.confidence,
                duration_ms,
                self._stt_model,
                event.item_id,
            )
        )
        self._tell("transcript", event.item_id, event.text, role="user", final=True, language=event.language)

    def _measured(self, event: TurnLatency) -> None:
        measured = {"voice_to_voice_ms": event.voice_to_voice_ms, **event.stages}
        self._latency[event.item_id] = {name: round(ms, 1) for name, ms in measured.items()}
        self._writer.latency(event.item_id, self._latency[event.item_id])

    def _replied(self, event: ReplyDone) -> None:
        turn = self._answers.pop(event.item_id, "")
        latency = self._latency.pop(turn, None)
        if not event.text:
            return
        interrupted = event.status == "cancelled"
        metadata = {"duration_ms": round(event.heard_s * 1000)} if event.heard_s > 0 else {}
        if event.status == "failed":
            metadata["failed"] = True
        self._writer.reply(event.item_id, event.text, interrupted=interrupted, latency=latency, metadata=metadata)
        self._after_turn.append(event.item_id)
        self._tell("reply", event.item_id, event.text, role="assistant", interrupted=interrupted)

    def _tell(self, kind: str, item_id: str, text: str, **more: Any) -> None:
        self._writer.event({"type": kind, "session_id": self._session_id, "item_id": item_id, "text": text, **more})
