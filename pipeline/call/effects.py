"""Effects of a call: work for the engines, sound for the speaker, and news for the listeners.

Work carries a `Ticket`, by which its urgency can change while it waits, and a `group`, by which everything behind a
reply or a turn is cancelled at once.
"""

from dataclasses import dataclass
from typing import TypeAlias

from pipeline.audio import Pcm
from pipeline.call.events import CallEvent
from pipeline.engines.protocols import ChatRequest, ToolCall
from pipeline.scheduling.lanes import Ticket


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Transcribe the user's samples `start` to `end` (16 kHz, since the call began); answer with `Transcribed`.

    Attributes:
        language: ISO 639-1 code that it is in, whatever it sounds like; None to listen.
        prior: the one that it is expected to be in; None for none.
        prompt: text before it.
        optional: not worth waiting for.
    """

    job: int
    group: str
    start: int
    end: int
    ticket: Ticket
    language: str | None
    prior: str | None = None
    prompt: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class AskTurnModel:
    """Ask whether the turn in samples `start` to `end` is over; answer with `TurnScored`."""

    job: int
    group: str
    start: int
    end: int
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Generate:
    """Generate a reply; answer with `ReplyText` and `ReplyTextEnded`, or `ToolsAsked`."""

    reply: str
    group: str
    request: ChatRequest
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class RunTool:
    """Do what the language model asks of a tool; answer with `ToolRan`."""

    reply: str
    group: str
    job: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class Prefill:
    """Let the language model read the context ahead of time."""

    group: str
    request: ChatRequest
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Synthesize:
    """Say a piece of a reply; answer with `PieceSpoken` and `PieceEnded`."""

    reply: str
    group: str
    piece: int
    text: str
    ticket: Ticket
    voice: str | None
    speed: float


@dataclass(frozen=True, slots=True)
class Recall:
    """Find what the user said in earlier conversations that fits these words; answer with `Remembered`."""

    job: int
    group: str
    text: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the work of a group, whose results are not wanted any more."""

    group: str


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the listeners."""

    event: CallEvent


@dataclass(frozen=True, slots=True, eq=False)
class WriteAudio:
    """Queue sound of a reply.

    Attributes:
        pcm: 24 kHz, shape (n,).
        at: position at which its first sample will lie.
    """

    pcm: Pcm
    at: int


@dataclass(frozen=True, slots=True)
class FinishAudio:
    """The utterance is complete: an empty queue is its end, no starvation."""


@dataclass(frozen=True, slots=True)
class FlushAudio:
    """Drop what waits, and hold nothing any more."""


@dataclass(frozen=True, slots=True)
class PauseAudio:
    """Hold the queue where it is."""


@dataclass(frozen=True, slots=True)
class ResumeAudio:
    """Go on from where it was paused, or from a position up to 2 s before that."""

    at: int | None = None


@dataclass(frozen=True, slots=True)
class DuckAudio:
    """Change the loudness to `gain`, 1 being full."""

    gain: float


AudioEffect: TypeAlias = WriteAudio | FinishAudio | FlushAudio | PauseAudio | ResumeAudio | DuckAudio

Effect: TypeAlias = (
    Transcribe
    | AskTurnModel
    | Generate
    | RunTool
    | Prefill
    | Synthesize
    | Recall
    | Cancel
    | Emit
    | WriteAudio
    | FinishAudio
    | FlushAudio
    | PauseAudio
    | ResumeAudio
    | DuckAudio
)
