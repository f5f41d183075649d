"""A call in virtual time: a scripted user, engines with set delays, the real playout; minutes run in milliseconds."""

import heapq
import itertools
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from media.playout import Playout
from media.values import PlayoutChange
from pipeline.audio import HEARING_RATE, SPEECH_RATE
from pipeline.call.context import Context
from pipeline.call.effects import AskTurnModel, Cancel, Effect, Emit, Generate, Prefill, Synthesize, Transcribe
from pipeline.call.events import CallEvent
from pipeline.call.inputs import (
    Connected,
    Input,
    PieceEnded,
    PieceSpoken,
    PlayoutDrained,
    PlayoutStarted,
    PlayoutStarved,
    ReplyText,
    ReplyTextEnded,
    Tick,
    Transcribed,
    TurnScored,
    VoiceHeard,
)
from pipeline.call.machine import CallMachine
from pipeline.call.options import CallOptions
from pipeline.engines.protocols import SpeechChunk, Transcript

PLAYOUT = {
    PlayoutChange.STARTED: PlayoutStarted,
    PlayoutChange.DRAINED: PlayoutDrained,
    PlayoutChange.STARVED: PlayoutStarved,
}

Wanted = TypeVar("Wanted")


@dataclass(frozen=True)
class Say:
    """Something the user says.

    Attributes:
        start, end: seconds of the call.
        text: what the transcript will say; "" for a noise.
        score: what the turn model makes of the silence behind it.
    """

    start: float
    end: float
    text: str
    score: float = 0.95
    level_db: float = -20.0


@dataclass
class Delays:
    """Seconds that the engines take; None: never answers."""

    stt: float | None = 0.12
    turn: float | None = 0.04
    llm_first: float | None = 0.06
    llm_token: float = 0.01
    tts: float | None = 0.05


@dataclass
class Simulation:
    """Runs a `CallMachine` against a script."""

    script: list[Say]
    options: CallOptions = field(default_factory=CallOptions)
    reply: str = "It is sunny in Paris today. The wind blows from the west, and it will stay warm until the evening."
    delays: Delays = field(default_factory=Delays)
    fail: frozenset[str] = frozenset()
    speech_s_per_char: float = 0.06

    def __post_init__(self) -> None:
        ids = itertools.count()
        self.now = 100.0
        self.began = self.now
        self.playout = Playout()
        self.context = Context(self.options.instructions, "conversation")
        self.machine = CallMachine(self.options, self.context, self.playout, lambda kind: f"{kind}_{next(ids)}")
        self.events: list[tuple[float, CallEvent]] = []
        self.asked: list[Generate] = []
        self.work: list[Effect] = []
        self.audible: list[bool] = []
        self.heard_samples = 0
        self._later: list[tuple[float, int, Input, str]] = []
        self._order = itertools.count()
        self._cancelled: set[str] = set()
        self._samples = 0
        self._windowed = 0
        self._random = random.Random(1)

    # Running ---------------------------------------------------------------------------------------------------------

    def run(self, seconds: float, connect: bool = True) -> "Simulation":
        """Go on for some seconds of virtual time."""
        if connect and not self.events:
            self.post(Connected())
        end = self.now + seconds
        while self.now < end - 1e-9:
            self._frame()
        return self

    def post(self, message: Input) -> None:
        """Hand an input to the machine and carry out what it wants."""
        for effect in self.machine.handle(message, self.now):
            self._carry_out(effect)

    def _frame(self) -> None:
        """20 ms: what the engines finished, what the user said, what went out."""
        frame_end = self.now + 0.02
        while self._later and self._later[0][0] <= frame_end:
            at, _, message, group = heapq.heappop(self._later)
            self.now = max(self.now, at)
            if group not in self._cancelled:
                self.post(message)
        self.now = frame_end
        self._samples += 320
        while self._samples - self._windowed >= 512:
            self._windowed += 512
            self.post(self._window(self._windowed))
        self.post(Tick())
        before = self.playout.position
        pcm, changes = self.playout.next_frame(self.now)
        self.audible.append(pcm is not None and bool(np.abs(pcm).max() > 50))
        self.heard_samples += self.playout.position - before
        for change in changes:
            self.post(PLAYOUT[change.change](change.at, change.position))

    def _window(self, end: int) -> VoiceHeard:
        second = (end - 256) / HEARING_RATE
        said = next((say for say in self.script if say.start <= second < say.end), None)
        level = said.level_db if said else -70.0
        at = self.now - (self._samples - end) / HEARING_RATE
        return VoiceHeard(0.95 if said else 0.03, (level, level, level, level), end, at)

    def _at(self, delay: float | None, message: Input, group: str) -> None:
        if delay is not None:
            heapq.heappush(self._later, (self.now + delay, next(self._order), message, group))

    def _carry_out(self, effect: Effect) -> None:
        self.work.append(effect)
        match effect:
            case Emit():
                self.events.append((self.now - self.began, effect.event))
            case Cancel():
                self._cancelled.add(effect.group)
                self._later = [entry for entry in self._later if entry[3] != effect.group]
                heapq.heapify(self._later)
                # Work of the same group that is asked for later counts again.
                self._cancelled.discard(effect.group)
            case Transcribe():
                self._at(self.delays.stt, Transcribed(effect.job, self._transcript(effect)), effect.group)
            case AskTurnModel():
                score = None if "turn" in self.fail else self._score(effect.end)
                self._at(self.delays.turn, TurnScored(effect.job, score), effect.group)
            case Generate():
                self._generate(effect)
            case Synthesize():
                self._synthesize(effect)
            case Prefill():
                pass

    def _transcript(self, work: Transcribe) -> Transcript | None:
        if "stt" in self.fail:
            return None
        said = self._words(work.start, work.end)
        return Transcript(said, "en", 0.0 if said else 0.9, 0.9, (work.end - work.start) / HEARING_RATE)

    def _words(self, start: int, end: int) -> str:
        """What was said between two samples: whole words by their share of the utterance."""
        heard: list[str] = []
        for say in self.script:
            words = say.text.split()
            for index, word in enumerate(words):
                middle = say.start + (say.end - say.start) * (index + 0.5) / len(words)
                if start / HEARING_RATE <= middle < end / HEARING_RATE:
                    heard.append(word)
        return " ".join(heard)

    def _score(self, end: int) -> float:
        before = [say for say in self.script if say.start < end / HEARING_RATE]
        return before[-1].score if before else 0.5

    def _generate(self, work: Generate) -> None:
        self.asked.append(work)
        if "llm" in self.fail:
            self._at(self.delays.llm_first, ReplyTextEnded(work.reply, failed=True), work.group)
            return
        if self.delays.llm_first is None:
            return
        tokens = self.reply.split(" ")
        for index, token in enumerate(tokens):
            delay = self.delays.llm_first + index * self.delays.llm_token
            self._at(delay, ReplyText(work.reply, token if index == 0 else " " + token), work.group)
        self._at(self.delays.llm_first + len(tokens) * self.delays.llm_token, ReplyTextEnded(work.reply), work.group)

    def _synthesize(self, work: Synthesize) -> None:
        if "tts" in self.fail:
            self._at(self.delays.tts, PieceEnded(work.reply, work.piece, failed=True), work.group)
            return
        length = int(len(work.text) * self.speech_s_per_char * SPEECH_RATE)
        tone = (6000 * np.sin(np.arange(length) * 2 * np.pi * 220 / SPEECH_RATE)).astype(np.int16)
        self._at(self.delays.tts, PieceSpoken(work.reply, work.piece, SpeechChunk(tone)), work.group)
        self._at(self.delays.tts, PieceEnded(work.reply, work.piece), work.group)

    # Reading ---------------------------------------------------------------------------------------------------------

    def all(self, kind: type[Wanted]) -> list[Wanted]:
        """Every event of a kind."""
        return [event for _, event in self.events if isinstance(event, kind)]

    def when(self, kind: type[object], number: int = 0) -> float:
        """Second at which an event of a kind came."""
        return [at for at, event in self.events if isinstance(event, kind)][number]

    def effects(self, kind: type[Wanted]) -> list[Wanted]:
        """Every effect of a kind."""
        return [effect for effect in self.work if isinstance(effect, kind)]

    def sounding(self, start: float, end: float) -> float:
        """Share of the frames between two seconds in which Morgan was audible."""
        frames = self.audible[round(start / 0.02) : round(end / 0.02)]
        return sum(frames) / max(1, len(frames))

    def counts(self) -> dict[str, int]:
        """The machine's counters."""
        counted: dict[str, int] = defaultdict(int)
        counted.update(self.machine.counts)
        return counted
