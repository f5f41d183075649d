"""Inputs of a call: everything that can happen to it, as values that its actor takes in one at a time."""

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from pipeline.audio import Pcm
from pipeline.call.events import TokenUsage
from pipeline.call.memories import Memories
from pipeline.engines.protocols import SpeechChunk, ToolCall, Transcript
from pipeline.tools.toolbox import ToolResult


@dataclass(frozen=True, slots=True)
class Connected:
    """Media flows both ways."""


class AudioHeard(NamedTuple):
    """20 ms of the user's audio.

    Attributes:
        pcm: 16 kHz, shape (320,).
        at: monotonic time of its last sample: when it came, or would have come without the stall that held it up.
        missing: it only fills the place of audio that was lost.
    """

    pcm: Pcm
    at: float
    missing: bool = False


class VoiceHeard(NamedTuple):
    """One voice activity window (32 ms) of the user's audio.

    Attributes:
        probability: of voice.
        levels_db: loudness of its four quarters (8 ms each), dBFS.
        end: index of the sample after its last, counted at 16 kHz since the call began.
        at: monotonic time of its last sample.
        missing: it was lost; what was said in it is not known.
    """

    probability: float
    levels_db: tuple[float, float, float, float]
    end: int
    at: float
    missing: bool = False

    @property
    def loudness(self) -> float:
        """RMS of the window, full scale being 1."""
        return math.sqrt(sum(10 ** (level / 10) for level in self.levels_db) / len(self.levels_db))


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class TurnScored:
    """The turn model answered the question `job`; `completeness` is None when it failed."""

    job: int
    completeness: float | None


@dataclass(frozen=True, slots=True)
class Transcribed:
    """Speech to text finished `job`; `transcript` is None when it failed."""

    job: int
    transcript: Transcript | None


@dataclass(frozen=True, slots=True)
class ReplyText:
    """The language model gave the next characters of a reply, or thinks about them, which has no text."""

    reply: str
    text: str
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class ReplyTextEnded:
    """The language model is done with a reply.

    Attributes:
        reply: of whom.
        failed: it broke off.
        usage: tokens of this round; None where that is not known.
        cut_short: it stopped at its bound.
    """

    reply: str
    failed: bool = False
    usage: TokenUsage | None = None
    cut_short: bool = False


@dataclass(frozen=True, slots=True)
class ToolsAsked:
    """The language model wants tools before it goes on with a reply."""

    reply: str
    calls: tuple[ToolCall, ...]
    usage: TokenUsage | None = None


@dataclass(frozen=True, slots=True)
class ToolRan:
    """A tool did what `job` asked of it, or says why not."""

    reply: str
    job: int
    result: ToolResult


@dataclass(frozen=True, slots=True)
class PieceSpoken:
    """Text to speech gave audio of a piece of a reply."""

    reply: str
    piece: int
    chunk: SpeechChunk


@dataclass(frozen=True, slots=True)
class PieceEnded:
    """Text to speech is done with a piece of a reply; `failed` when it broke off."""

    reply: str
    piece: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class PlayoutStarted:
    """The first frame after silence went out."""

    at: float
    position: int


@dataclass(frozen=True, slots=True)
class PlayoutDrained:
    """Everything that was written and finished has gone out."""

    at: float
    position: int


@dataclass(frozen=True, slots=True)
class PlayoutStarved:
    """Everything that was written has gone out although more was promised."""

    at: float
    position: int


@dataclass(frozen=True, slots=True)
class UserTyped:
    """The user sent text instead of speech."""

    text: str


KEYS = frozenset("0123456789*#ABCD")
"""Of a telephone (DTMF; RFC 4733 section 3.2)."""


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The user pressed a key of their telephone.

    Attributes:
        key: one of `KEYS`.
        taken: a tool waits for it already, or something else does: it is told of, and nothing else follows.
    """

    key: str
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the user said in earlier conversations that fits the words of question `job`; empty for nothing."""

    job: int
    memories: Memories


@dataclass(frozen=True, slots=True)
class StopReply:
    """The client asked for silence (`response.cancel`, `output_audio_buffer.clear`)."""


class ClientRequest:
    """What a client asks for by name (`pipeline.call.requests`)."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class HangUp:
    """The call is over.

    Attributes:
        reason: "hangup", "connect_timeout", "lost", "shutdown", "idle", ...
    """

    reason: str


class Playhead(NamedTuple):
    """Where the outgoing audio is; part of every input.

    Attributes:
        position: samples (24 kHz, of written audio, since the call began) that have gone out.
        written: position at which the next written sample will lie.
        tail: most samples of what waits that would still go out, fading, if it were flushed now.
        delay_s: seconds that a frame takes to the user's ear; what was sent later was not heard yet.
    """

    position: int = 0
    written: int = 0
    tail: int = 0
    delay_s: float = 0.04


Input: TypeAlias = (
    Connected
    | AudioHeard
    | VoiceHeard
    | Tick
    | TurnScored
    | Transcribed
    | ReplyText
    | ReplyTextEnded
    | ToolsAsked
    | ToolRan
    | PieceSpoken
    | PieceEnded
    | PlayoutStarted
    | PlayoutDrained
    | PlayoutStarved
    | UserTyped
    | KeyPressed
    | Remembered
    | StopReply
    | ClientRequest
    | HangUp
)
