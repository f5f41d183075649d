"""A call's events in the words of `/ws/audio`."""

from typing import Any

from media.values import SEND_RATE
from pipeline.call.events import (
    CallEnded,
    CallEvent,
    CallFault,
    PlaybackCleared,
    PlaybackStarted,
    PlaybackStopped,
    ReplyDone,
    ReplyTextDelta,
    ReplyTruncated,
    ShutdownAnnounced,
    StateChanged,
    TranscriptCompleted,
    TranscriptDelta,
    TranscriptFailed,
    TurnDropped,
    TurnLatency,
    TurnUnclear,
)
from pipeline.call.state import State

Json = dict[str, Any]

AUDIO_FORMAT = "pcm_s16le"


class SocketEvents:
    """Translates the events of one session.

    Args:
        session_id: of the session.

    Attributes:
        sounding: whether the client is between `audio_start` and `audio_end`.
    """

    def __init__(self, session_id: str) -> None:
        self.sounding = False
        self._session_id = session_id
        self._partial: dict[str, str] = {}
        self._heard_ms = 0

    def translate(self, event: CallEvent) -> list[Json]:
        """What to send for an event, in order; what the client has no use for is nothing."""
        match event:
            case StateChanged():
                # The end is told by `ended`.
                return [] if event.state is State.ENDED else [{"type": "state", "state": event.state.value}]
            case TranscriptDelta() | TranscriptCompleted() | TranscriptFailed() | TurnDropped() | TurnUnclear():
                return self._of_transcript(event)
            case ReplyTextDelta():
                return [{"type": "response_text", "response_id": event.reply_id, "text": event.delta}]
            case PlaybackStarted() | PlaybackStopped() | PlaybackCleared():
                return self._of_playback(event)
            case ReplyTruncated():
                self._heard_ms = event.audio_end_ms
            case ReplyDone():
                return [self._reply_done(event)]
            case TurnLatency():
                stages = {name: round(ms, 1) for name, ms in event.stages.items()}
                ms = round(event.voice_to_voice_ms, 1)
                return [{"type": "latency", "item_id": event.item_id, "voice_to_voice_ms": ms, "stages": stages}]
            case CallFault():
                return [error(event.code, event.message)]
            case ShutdownAnnounced():
                return [{"type": "shutdown", "within_s": event.within_s}]
            case CallEnded():
                return [{"type": "ended", "session_id": self._session_id, "reason": event.reason}]
        return []

    def _of_transcript(
        self, event: TranscriptDelta | TranscriptCompleted | TranscriptFailed | TurnDropped | TurnUnclear
    ) -> list[Json]:
        match event:
            case TranscriptDelta():
                text = self._partial.get(event.item_id, "") + event.delta
                self._partial[event.item_id] = text
                return [_transcript(event.item_id, text, final=False)]
            case TranscriptCompleted():
                self._partial.pop(event.item_id, None)
                return [_transcript(event.item_id, event.text, final=True) | {"language": event.language}]
            case TranscriptFailed():
                self._partial.pop(event.item_id, None)
                return [error("transcription_failed", event.message)]
            case TurnUnclear():
                self._partial.pop(event.item_id, None)
                return [_transcript(event.item_id, "", final=True) | {"unclear": True}]
            case TurnDropped():
                # Words that were told are taken back.
                told = self._partial.pop(event.item_id, None) is not None
                return [_transcript(event.item_id, "", final=True)] if told else []

    def _of_playback(self, event: PlaybackStarted | PlaybackStopped | PlaybackCleared) -> list[Json]:
        self.sounding = isinstance(event, PlaybackStarted)
        if not self.sounding:
            return [{"type": "audio_end", "response_id": event.reply_id}]
        sound = {"sample_rate": SEND_RATE, "format": AUDIO_FORMAT, "channels": 1}
        return [{"type": "audio_start", "response_id": event.reply_id, **sound}]

    def _reply_done(self, event: ReplyDone) -> Json:
        """What was heard of it: all, or what an interruption left."""
        told: Json = {"response_id": event.reply_id, "item_id": event.item_id, "text": event.text}
        if event.status != "cancelled":
            return {"type": "response_done", "status": event.status, **told}
        heard_ms, self._heard_ms = self._heard_ms, 0
        return {"type": "interrupted", "reason": event.reason, "audio_ms": heard_ms, **told}


def error(code: str, message: str) -> Json:
    """Something went wrong, in the form that errors have everywhere."""
    return {"type": "error", "error": {"code": code, "message": message}}


def _transcript(item_id: str, text: str, *, final: bool) -> Json:
    return {"type": "transcript", "item_id": item_id, "text": text, "final": final}
