"""A call in virtual time with a scripted user."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Self

from pipeline.audio import HEARING_RATE
from pipeline.call.effects import AskTurnModel, Transcribe
from pipeline.call.inputs import VoiceHeard
from pipeline.engines.protocols import Transcript
from server.testing.virtual_call import Delays, VirtualCall, Wanted

__all__ = ["Delays", "Say", "Simulation"]

WINDOW = 512


@dataclass(frozen=True)
class Say:
    """Something the user says.

    Attributes:
        start, end: seconds of the call.
        text: what the transcript will say; "" for a noise.
        score: what the turn model makes of the silence behind it.
        level_db: how loud it is, dBFS.
        confidence: of the transcript.
        language, language_probability: what speech to text takes it for.
        voice: probability of it; None for that of a voice where there is text, that of a noise without.
    """

    start: float
    end: float
    text: str
    score: float = 0.95
    level_db: float = -20.0
    confidence: float = 0.9
    language: str = "en"
    language_probability: float = 0.95
    voice: float | None = None


@dataclass
class Simulation(VirtualCall):
    """Runs a `CallMachine` against a script."""

    script: list[Say]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._windowed = 0

    def run(self, seconds: float, connect: bool = True) -> Self:
        """Go on for some seconds of virtual time."""
        if connect and not self.events:
            self.connect()
        self.advance(seconds)
        return self

    # What is said ----------------------------------------------------------------------------------------------------

    def hear(self, end: int) -> list[VoiceHeard]:
        windows = []
        while end - self._windowed >= WINDOW:
            self._windowed += WINDOW
            windows.append(self._window(self._windowed, self.now - (end - self._windowed) / HEARING_RATE))
        return windows

    def _window(self, end: int, at: float) -> VoiceHeard:
        second = (end - WINDOW // 2) / HEARING_RATE
        said = next((say for say in self.script if say.start <= second < say.end), None)
        level = said.level_db if said else -70.0
        voice = 0.03
        if said:
            voice = said.voice if said.voice is not None else 0.95 if said.text else 0.85
        return VoiceHeard(voice, (level, level, level, level), end, at)

    def transcript(self, work: Transcribe) -> Transcript | None:
        if "stt" in self.fail:
            return None
        said = self._words(work.start, work.end)
        within = [
            say for say in self.script if say.start < work.end / HEARING_RATE and say.end > work.start / HEARING_RATE
        ]
        confidence = min((say.confidence for say in within), default=0.9)
        last = within[-1] if within else Say(0, 0, "")
        return Transcript(
            said,
            work.language or last.language,
            0.0 if said else 0.9,
            confidence,
            (work.end - work.start) / HEARING_RATE,
            language_probability=1.0 if work.language else last.language_probability,
        )

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

    def score(self, work: AskTurnModel) -> float | None:
        if "turn" in self.fail:
            return None
        before = [say for say in self.script if say.start < work.end / HEARING_RATE]
        return before[-1].score if before else 0.5

    # Reading ---------------------------------------------------------------------------------------------------------

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
