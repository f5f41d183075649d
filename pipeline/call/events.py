"""Events that a call tells the world, close to those of the OpenAI Realtime API.

The doors (data channel, WebSocket, persistence, metrics) translate these into their own words. Times are milliseconds;
`audio_*_ms` count the user's audio since the call began.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pipeline.call.state import State
from pipeline.engines.protocols import ToolCall
from pipeline.tools.toolbox import ToolResult


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of a reply, as the language model counted them, of all its rounds together."""

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The call is in another state."""

    state: State


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began to speak (again: a turn taken up after a commit keeps its item)."""

    item_id: str
    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The user's turn ended.

    Attributes:
        item_id: of the turn.
        audio_end_ms: where its audio ends.
        by_client: the client said so; silence was not looked for.
    """

    item_id: str
    audio_end_ms: int
    by_client: bool = False


@dataclass(frozen=True, slots=True)
class TurnCommitted:
    """The user's turn is part of the conversation; its words follow as `TranscriptCompleted`.

    Attributes:
        item_id: of the turn.
        previous_item_id: what it follows; None at the beginning.
        continued: the turn had been committed before and was taken up again.
        typed: the words when the user typed them, else None.
    """

    item_id: str
    previous_item_id: str | None
    continued: bool = False
    typed: str | None = None


@dataclass(frozen=True, slots=True)
class TurnDropped:
    """What began with `SpeechStarted` was no speech, or was given up for typed words."""

    item_id: str


@dataclass(frozen=True, slots=True)
class TurnUnclear:
    """Somebody spoke, but no words could be made out that can be believed; the turn is no part of the conversation.

    Attributes:
        item_id: of the turn.
        text: what speech to text wrote all the same; mostly nothing.
        voice_s: seconds of voice in it.
    """

    item_id: str
    text: str
    voice_s: float


@dataclass(frozen=True, slots=True)
class TranscriptDelta:
    """More words of a running turn are certain."""

    item_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class TranscriptCompleted:
    """The words of a turn.

    Attributes:
        item_id: of the turn.
        text: the words.
        language: that they are in, ISO 639-1.
        duration_s: of the turn.
        confidence: 0 to 1.
        call_language: that the call is in from now on, ISO 639-1; "" where that is not known.
    """

    item_id: str
    text: str
    language: str
    duration_s: float
    confidence: float
    call_language: str = ""


@dataclass(frozen=True, slots=True)
class TranscriptFailed:
    """Speech to text could not do it."""

    item_id: str
    message: str


@dataclass(frozen=True, slots=True)
class ReplyCreated:
    """Morgan answers, or says something unasked.

    Attributes:
        reply_id: of the reply.
        item_id: of its message.
        previous_item_id: what it follows.
        speaks: whether it is spoken; otherwise it is text.
        wish: name of the `ReplyWish` that it fulfils; "" for none.
    """

    reply_id: str
    item_id: str
    previous_item_id: str | None
    speaks: bool = True
    wish: str = ""


@dataclass(frozen=True, slots=True)
class ReplyTextDelta:
    """More words of the reply; they need not have been heard yet."""

    reply_id: str
    item_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class ReplyTextCompleted:
    """All words of the reply are known."""

    reply_id: str
    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """A tool runs for a reply.

    Attributes:
        reply_id: of the reply.
        item_id: of the call in the conversation.
        call: what is asked.
        by_client: it is the client who has to run it and to tell what came of it.
    """

    reply_id: str
    item_id: str
    call: ToolCall
    by_client: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """A tool waits for the client to approve of what it is asked (`pipeline.call.requests.ApproveTool`).

    Attributes:
        reply_id: of the reply, which ends with this.
        item_id: of the request.
        call: what is asked.
    """

    reply_id: str
    item_id: str
    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """A tool has answered, or is not waited for any more.

    Attributes:
        reply_id: of the reply.
        item_id: of the result in the conversation.
        result: what came of it.
    """

    reply_id: str
    item_id: str
    result: ToolResult


@dataclass(frozen=True, slots=True)
class PlaybackStarted:
    """The first frame of the reply went out."""

    reply_id: str


@dataclass(frozen=True, slots=True)
class PlaybackStopped:
    """The last frame of the reply went out."""

    reply_id: str


@dataclass(frozen=True, slots=True)
class PlaybackCleared:
    """What was left of the reply's audio was thrown away."""

    reply_id: str


@dataclass(frozen=True, slots=True)
class ReplyTruncated:
    """The reply was cut.

    Attributes:
        item_id: of the reply.
        audio_end_ms: of the reply's audio that was heard.
        text: the words that were heard.
    """

    item_id: str
    audio_end_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """The reply is over.

    Attributes:
        reply_id: of the reply.
        item_id: of its message.
        status: "completed", "cancelled" (see `reason`) or "failed".
        reason: "turn_detected" or "client_cancelled" when cancelled.
        text: what was heard, or of a text what was written.
        usage: tokens that it took; None where that is not known, as of one that was cut while it was made.
        cut_short: the language model stopped at its bound.
        heard_s: seconds of speech that were heard.
    """

    reply_id: str
    item_id: str
    status: Literal["completed", "cancelled", "failed"]
    reason: Literal["turn_detected", "client_cancelled"] | None
    text: str
    usage: TokenUsage | None = None
    cut_short: bool = False
    heard_s: float = 0.0


@dataclass(frozen=True, slots=True)
class IdleTimedOut:
    """Neither side said anything for as long as the client had set; a reply follows.

    Attributes:
        item_id: of the silence, as something that the user "said".
        audio_start_ms: where it begins.
        audio_end_ms: where it ends.
    """

    item_id: str
    audio_start_ms: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class KeyHeard:
    """The user pressed a key of their telephone: one of `pipeline.call.inputs.KEYS`."""

    key: str


@dataclass(frozen=True, slots=True)
class TurnLatency:
    """From the end of the user's speech to the first frame of the reply.

    Attributes:
        item_id: of the user's turn.
        voice_to_voice_ms: the whole gap.
        stages: its parts in order of time; they sum to the whole.
    """

    item_id: str
    voice_to_voice_ms: float
    stages: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallFault:
    """Something went wrong and was dealt with.

    Attributes:
        code: "stt_failed", "llm_failed", "tts_failed", "healed", ...
        message: for the log and for developers.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ShutdownAnnounced:
    """The server that the call is on is about to go.

    Attributes:
        within_s: seconds that the call has left at most.
        resumable: the client can bring it onto the server that follows, with the token that it has.
    """

    within_s: float
    resumable: bool


@dataclass(frozen=True, slots=True)
class CallEnded:
    """Nothing follows."""

    reason: str


CallEvent: TypeAlias = (
    StateChanged
    | SpeechStarted
    | SpeechStopped
    | TurnCommitted
    | TurnDropped
    | TurnUnclear
    | TranscriptDelta
    | TranscriptCompleted
    | TranscriptFailed
    | ReplyCreated
    | ReplyTextDelta
    | ReplyTextCompleted
    | ToolCalled
    | ToolReturned
    | ApprovalAsked
    | PlaybackStarted
    | PlaybackStopped
    | PlaybackCleared
    | ReplyTruncated
    | ReplyDone
    | IdleTimedOut
    | KeyHeard
    | TurnLatency
    | CallFault
    | ShutdownAnnounced
    | CallEnded
)
