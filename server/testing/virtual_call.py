"""A call in virtual time: the real call machine and the real playout, engines with set delays; minutes run in moments.

What the user says, and what the models make of it, is up to the subclass: a script in the tests, a recording in
`server.testing.recorded_call`.
"""

import heapq
import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

import numpy as np

from media.playout import Playout
from media.values import PlayoutChange
from pipeline.audio import HEARING_RATE, SPEECH_RATE, Pcm
from pipeline.call.context import Context
from pipeline.call.effects import (
    AskTurnModel,
    Cancel,
    DuckAudio,
    Effect,
    Emit,
    FinishAudio,
    FlushAudio,
    Generate,
    PauseAudio,
    Prefill,
    Recall,
    ResumeAudio,
    RunTool,
    Synthesize,
    Transcribe,
    WriteAudio,
)
from pipeline.call.events import CallEvent
from pipeline.call.inputs import (
    Connected,
    Input,
    PieceEnded,
    PieceSpoken,
    Playhead,
    PlayoutDrained,
    PlayoutStarted,
    PlayoutStarved,
    Remembered,
    ReplyText,
    ReplyTextEnded,
    Tick,
    ToolRan,
    ToolsAsked,
    Transcribed,
    TurnScored,
    VoiceHeard,
)
from pipeline.call.machine import CallMachine
from pipeline.call.memories import Memories
from pipeline.call.options import CallOptions
from pipeline.call.reply.playback import play, playhead
from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.engines.protocols import SpeechChunk, ToolCall, Transcript, Voice
from pipeline.tools.toolbox import ToolResult

FRAME_S = 0.02
FRAME_SAMPLES = HEARING_RATE // 50

NETWORK_DELAY_S = 0.04
"""Seconds that a frame takes to the user's ear."""

_PLAYOUT: dict[PlayoutChange, type[PlayoutStarted | PlayoutDrained | PlayoutStarved]] = {
    PlayoutChange.STARTED: PlayoutStarted,
    PlayoutChange.DRAINED: PlayoutDrained,
    PlayoutChange.STARVED: PlayoutStarved,
}

Wanted = TypeVar("Wanted")

THOUGHT_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class NextToken:
    """A generation's next token is due, unless its ticket rests."""

    work: Generate
    tokens: list[str]
    index: int


@dataclass
class Delays:
    """Seconds that the engines take; None: never answers.

    Attributes:
        stt: for a transcript, whatever its length,
        stt_per_s: and for each second of speech in it.
        turn: for the turn model's answer.
        llm_first: to the first token,
        llm_token: and for each one after it.
        thinking: so long the language model thinks before its first token, with a sign of it every half second.
        tts: for a piece.
        tool: for a tool's result.
        recall: for memories.
    """

    stt: float | None = 0.12
    turn: float | None = 0.04
    llm_first: float | None = 0.06
    llm_token: float = 0.01
    thinking: float = 0.0
    tts: float | None = 0.05
    stt_per_s: float = 0.0
    tool: float | None = 0.2
    recall: float | None = 0.01


@dataclass(kw_only=True)
class VirtualCall(ABC):
    """Runs a `CallMachine`.

    Attributes:
        options: of the call.
        reply: what the language model says, always,
        asks: and the tools that it asks for before that, round by round, each with what it says first.
        memories: what every question reminds of; None where nobody remembers anything.
        voices: that replies can be spoken with, the default one first.
        delays: of the engines.
        fail: engines that break: "stt", "turn", "llm", "tts"; "llm_after_tools" only behind a tool's result,
            "tts_but_apology" for all but the apology, which is at hand, "tts_midway" hangs within its first piece.
        phrases_at_hand: the apologies are said at once, whatever the voice does.
        speech_s_per_char: how slowly the voice speaks.
        now: virtual monotonic time; the call began at `began`.
        events: (second of the call, event) of everything that was told.
        work: every effect, in order.
        asked: the requests to the language model.
        written: (second of the call, characters of replies that the language model has made by then), all together.
        audible: of each 20 ms frame that went out, whether it held sound.
        heard_samples: of replies that went out.
    """

    options: CallOptions = field(default_factory=CallOptions)
    reply: str = "It is sunny in Paris today. The wind blows from the west, and it will stay warm until the evening."
    asks: tuple[tuple[str, ToolCall], ...] = ()
    memories: Memories | None = None
    voices: tuple[Voice, ...] = ()
    delays: Delays = field(default_factory=Delays)
    fail: frozenset[str] = frozenset()
    phrases_at_hand: bool = False
    speech_s_per_char: float = 0.06

    def __post_init__(self) -> None:
        ids = itertools.count()
        self.now = 100.0
        self.began = self.now
        self.playout = Playout()
        self.context = Context(self.options.instructions, "conversation")
        self.machine = CallMachine(
            self.options,
            self.context,
            lambda kind: f"{kind}_{next(ids)}",
            recall_s=0.02 if self.memories is not None else 0.0,
            voices=VoiceChoice(self.voices, self.voices[0].id if self.voices else "", self.options.voice),
        )
        self.events: list[tuple[float, CallEvent]] = []
        self.asked: list[Generate] = []
        self.written: list[tuple[float, int]] = []
        self.work: list[Effect] = []
        self.audible: list[bool] = []
        self.heard_samples = 0
        self._later: list[tuple[float, int, Input | NextToken, str]] = []
        self._order = itertools.count()
        self._samples = 0
        self._counted = 0

    # What the subclass knows -----------------------------------------------------------------------------------------

    @abstractmethod
    def hear(self, end: int) -> list[VoiceHeard]:
        """The voice activity windows that the next 20 ms complete.

        Args:
            end: sample after the last one, since the call began.
        """

    @abstractmethod
    def transcript(self, work: Transcribe) -> Transcript | None:
        """What speech to text makes of it; None when it fails."""

    @abstractmethod
    def score(self, work: AskTurnModel) -> float | None:
        """What the turn model makes of it; None when it fails."""

    # Running ---------------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """The call stands."""
        self.post(Connected())

    def advance(self, seconds: float) -> None:
        """Go on for some seconds of virtual time."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self._frame()

    def post(self, message: Input) -> None:
        """Hand an input to the machine and carry out what it wants.

        Raises:
            AssertionError: it led to a trigger that `TRANSITIONS` does not have in the state that the call was in.
        """
        state = self.machine.state
        for effect in self.handled(message, playhead(self.playout, NETWORK_DELAY_S)):
            self._carry_out(effect)
        if len(self.machine.counts) != self._counted:
            self._counted = len(self.machine.counts)
            unexpected = [name for name in self.machine.counts if name.startswith("unexpected_")]
            assert not unexpected, f"{type(message).__name__} in {state}: {unexpected}"

    def handled(self, message: Input, head: Playhead) -> list[Effect]:
        """What the machine wants when it is told this."""
        return self.machine.handle(message, self.now, head)

    def _frame(self) -> None:
        """20 ms: what the engines finished, what the user said, what went out."""
        frame_end = self.now + FRAME_S
        while self._later and self._later[0][0] <= frame_end:
            at, _, message, _ = heapq.heappop(self._later)
            self.now = max(self.now, at)
            if isinstance(message, NextToken):
                self._say_token(message)
            else:
                self.post(message)
        self.now = frame_end
        self._samples += FRAME_SAMPLES
        for window in self.hear(self._samples):
            self.post(window)
        self.post(Tick())
        before = self.playout.position
        pcm, changes = self.playout.next_frame(self.now)
        self.audible.append(pcm is not None and bool(np.abs(pcm).max() > 50))
        self.heard_samples += self.playout.position - before
        for change in changes:
            self.post(_PLAYOUT[change.change](change.at, change.position))

    def _at(self, delay: float | None, message: Input | NextToken, group: str) -> None:
        if delay is not None:
            heapq.heappush(self._later, (self.now + delay, next(self._order), message, group))

    def _carry_out(self, effect: Effect) -> None:
        self.work.append(effect)
        match effect:
            case Emit():
                self.events.append((self.now - self.began, effect.event))
            case Cancel():
                self._later = [entry for entry in self._later if entry[3] != effect.group]
                heapq.heapify(self._later)
            case Transcribe():
                self._at(self._stt_delay(effect), Transcribed(effect.job, self.transcript(effect)), effect.group)
            case AskTurnModel():
                self._at(self.delays.turn, TurnScored(effect.job, self.score(effect)), effect.group)
            case Generate():
                self._generate(effect)
            case RunTool():
                result = ToolResult(effect.call, "21 degrees", failed=False, seconds=self.delays.tool)
                self._at(self.delays.tool, ToolRan(effect.reply, effect.job, result), effect.group)
            case Synthesize():
                self._synthesize(effect)
            case Recall():
                self._at(self.delays.recall, Remembered(effect.job, self.memories or ()), effect.group)
            case Prefill():
                pass
            case WriteAudio():
                assert effect.at == self.playout.written, "the machine has lost count of the playout"
                play(effect, self.playout)
            case FinishAudio() | FlushAudio() | PauseAudio() | ResumeAudio() | DuckAudio():
                play(effect, self.playout)

    def _stt_delay(self, work: Transcribe) -> float | None:
        if self.delays.stt is None:
            return None
        return self.delays.stt + self.delays.stt_per_s * (work.end - work.start) / HEARING_RATE

    def _generate(self, work: Generate) -> None:
        self.asked.append(work)
        if "llm" in self.fail:
            self._at(self.delays.llm_first, ReplyTextEnded(work.reply, failed=True), work.group)
            return
        if self.delays.llm_first is None:
            return
        rounds = sum(bool(message.tool_calls) for message in work.request.messages)
        if rounds and "llm_after_tools" in self.fail:
            self._at(self.delays.llm_first, ReplyTextEnded(work.reply, failed=True), work.group)
            return
        if rounds < len(self.asks):
            preamble, call = self.asks[rounds]
            if preamble:
                self._at(self.delays.llm_first, ReplyText(work.reply, preamble), work.group)
            self._at(self.delays.llm_first, ToolsAsked(work.reply, (call,)), work.group)
            return
        thought = self.delays.thinking
        for number in range(int(thought / THOUGHT_EVERY_S)):
            self._at(number * THOUGHT_EVERY_S, ReplyText(work.reply, "", thinking=True), work.group)
        self._at(thought + self.delays.llm_first, NextToken(work, self.reply.split(" "), 0), work.group)

    def _say_token(self, due: NextToken) -> None:
        work, tokens, index = due.work, due.tokens, due.index
        if work.ticket.resting:
            self._at(self.delays.llm_token, due, work.group)
        elif index == len(tokens):
            self.post(ReplyTextEnded(work.reply))
        else:
            # Before the token, which may end the reply and all that is to come for it.
            self._at(self.delays.llm_token, NextToken(work, tokens, index + 1), work.group)
            text = tokens[index] if index == 0 else " " + tokens[index]
            before = self.written[-1][1] if self.written else 0
            self.written.append((self.now - self.began, before + len(text)))
            self.post(ReplyText(work.reply, text))

    def _synthesize(self, work: Synthesize) -> None:
        if "tts" in self.fail or ("tts_but_apology" in self.fail and work.text not in self.options.apology):
            self._at(self.delays.tts, PieceEnded(work.reply, work.piece, failed=True), work.group)
            return
        at_hand = self.phrases_at_hand and any(work.text in text for text in self._apologies())
        delay = 0.0 if at_hand else self.delays.tts
        length = int(len(work.text) * self.speech_s_per_char * SPEECH_RATE)
        midway = "tts_midway" in self.fail and not at_hand
        sound = _tone(length // 2 if midway else length)
        self._at(delay, PieceSpoken(work.reply, work.piece, SpeechChunk(sound)), work.group)
        if not midway:
            self._at(delay, PieceEnded(work.reply, work.piece), work.group)

    def _apologies(self) -> tuple[str, ...]:
        return self.options.apology, self.options.delay_apology

    # Reading ---------------------------------------------------------------------------------------------------------

    def all(self, kind: type[Wanted]) -> list[Wanted]:
        """Every event of a kind."""
        return [event for _, event in self.events if isinstance(event, kind)]

    def when(self, kind: type[object], number: int = 0) -> float:
        """Second at which an event of a kind came."""
        return [at for at, event in self.events if isinstance(event, kind)][number]


@lru_cache(maxsize=64)
def _tone(length: int) -> Pcm:
    """Samples that sound, int16 at `SPEECH_RATE`; read-only, because pieces of the same length share them."""
    tone = (6000 * np.sin(np.arange(length) * 2 * np.pi * 220 / SPEECH_RATE)).astype(np.int16)
    tone.flags.writeable = False
    return tone
