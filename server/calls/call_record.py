"""Record of a call for the API: its turns, their latency, its end."""

import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pipeline.call.events import (
    CallEvent,
    ReplyDone,
    TranscriptCompleted,
    TurnCommitted,
    TurnLatency,
)

KEPT_TURNS = 200
"""Entries kept in memory; the oldest go first."""


@dataclass(slots=True)
class RecordedTurn:
    """One entry of the conversation."""

    item_id: str
    role: Literal["user", "assistant"]
    text: str
    interrupted: bool = False
    voice_to_voice_ms: float | None = None
    stages: dict[str, float] = field(default_factory=dict)


class CallRecord:
    """Collects a call's events."""

    def __init__(self) -> None:
        self.turns: dict[str, RecordedTurn] = {}
        self.messages = 0
        self.events_dropped = 0
        self._started_at = datetime.now(tz=UTC)
        self._started = time.monotonic()

    def seconds(self) -> float:
        """Seconds since the call was opened."""
        return time.monotonic() - self._started

    def add(self, event: CallEvent) -> None:
        """Take in an event."""
        match event:
            case TurnCommitted() if event.typed is not None:
                self._put(RecordedTurn(event.item_id, "user", event.typed))
            case TranscriptCompleted():
                self._put(RecordedTurn(event.item_id, "user", event.text))
            case ReplyDone() if event.text:
                self._put(RecordedTurn(event.item_id, "assistant", event.text, event.status == "cancelled"))
            case TurnLatency() if event.item_id in self.turns:
                turn = self.turns[event.item_id]
                turn.voice_to_voice_ms = round(event.voice_to_voice_ms, 1)
                turn.stages = {name: round(ms, 1) for name, ms in event.stages.items()}

    def _put(self, turn: RecordedTurn) -> None:
        if turn.item_id not in self.turns:
            self.messages += 1
        self.turns[turn.item_id] = turn
        if len(self.turns) > KEPT_TURNS:
            del self.turns[next(iter(self.turns))]

    def describe(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {
            "started_at": self._started_at.isoformat(),
            "duration_s": round(self.seconds(), 3),
            "turns": [asdict(turn) for turn in self.turns.values()],
            "events_dropped": self.events_dropped,
        }
