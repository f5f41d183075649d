"""Speeds of the engines on this machine: a few pieces of real work, each on one thread with nothing beside it."""

import enum
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeVar

import numpy as np
import soxr
import structlog

from pipeline.audio import HEARING_RATE, SPEECH_RATE, Waveform, to_waveform
from pipeline.engines.device import device_of
from pipeline.engines.llm.speed import QUESTIONS, LanguageModelSpeed, measure_language_model
from pipeline.engines.protocols import AbsentEngine, Engine, EngineError, Engines, SpeechToText, TextToSpeech
from pipeline.scheduling.cores import CORES
from pipeline.scheduling.lanes import Ticket, Urgency

T = TypeVar("T")

SPOKEN = QUESTIONS[0]
"""Said by the voice in three to four seconds; the question that speech to text and the turn model are given."""

QUESTION_S = 3.0
TIMES = 2

_LATER = 80

log = structlog.get_logger(__name__)


class Unmeasured(enum.StrEnum):
    """Why there is no figure of an engine.

    Attributes:
        ELSEWHERE: it works in another process, and takes nothing of our cores, or there is none.
        UNKNOWN: it works here, and failed, or does nothing from which its speed could be told.
    """

    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class VoiceSpeed:
    """Of the voice on this machine.

    Attributes:
        share: seconds of work for a second of speech.
        first_s: until the first sound of a sentence.
    """

    share: float
    first_s: float

    def best_with(self, other: "VoiceSpeed") -> "VoiceSpeed":
        """Figure by figure the quicker one of two measurements."""
        return VoiceSpeed(min(self.share, other.share), min(self.first_s, other.first_s))


@dataclass(frozen=True, slots=True)
class EngineSpeeds:
    """Seconds of work on this machine, one thread each but for speech to text.

    Attributes:
        cores: that inference may use here.
        stt_s: a question of 3 s as text.
        turn_model_s: whether a turn is over.
        llm: of the language model.
        voice: of the voice.
        stt_threads: that a transcription keeps busy.
        on_gpu: roles of the engines that compute on a GPU, and keep no core busy.
    """

    cores: int
    stt_s: float | Unmeasured
    turn_model_s: float | Unmeasured
    llm: LanguageModelSpeed | Unmeasured
    voice: VoiceSpeed | Unmeasured
    stt_threads: int = 1
    on_gpu: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all engines work here, and all were measured."""
        return not any(isinstance(each, Unmeasured) for each in (self.stt_s, self.turn_model_s, self.llm, self.voice))

    @property
    def unknown(self) -> bool:
        """Whether an engine works here of which nobody knows how quickly."""
        return Unmeasured.UNKNOWN in (self.stt_s, self.turn_model_s, self.llm, self.voice)

    def figures(self) -> Iterator[tuple[str, float]]:
        """What is known, by names for people and logs."""
        yield "cores", self.cores
        yield "stt_threads", self.stt_threads
        if not isinstance(self.stt_s, Unmeasured):
            yield "stt_s", self.stt_s
        if not isinstance(self.turn_model_s, Unmeasured):
            yield "turn_model_s", self.turn_model_s
        if not isinstance(self.llm, Unmeasured):
            yield "llm_first_token_s", self.llm.first_s
            yield "llm_clause_s", self.llm.clause_s
            yield "llm_token_s", self.llm.token_s
        if not isinstance(self.voice, Unmeasured):
            yield "tts_share", self.voice.share
            yield "tts_first_s", self.voice.first_s

    def best_with(self, other: "EngineSpeeds") -> "EngineSpeeds":
        """Figure by figure the quicker one: other programs make an engine slower, nothing makes it quicker.

        Args:
            other: of the same engines; what it did not measure counts for nothing.
        """
        return replace(
            self,
            stt_s=_best_of(self.stt_s, other.stt_s, min),
            turn_model_s=_best_of(self.turn_model_s, other.turn_model_s, min),
            llm=_best_of(self.llm, other.llm, LanguageModelSpeed.best_with),
            voice=_best_of(self.voice, other.voice, VoiceSpeed.best_with),
        )


F = TypeVar("F", float, LanguageModelSpeed, VoiceSpeed)


def _best_of(one: F | Unmeasured, other: F | Unmeasured, best: Callable[[F, F], F]) -> F | Unmeasured:
    if isinstance(one, Unmeasured):
        return one if isinstance(other, Unmeasured) else other
    return one if isinstance(other, Unmeasured) else best(one, other)


async def measure_speeds(engines: Engines, cores: int | None = None) -> EngineSpeeds:
    """Measure the engines that do their work in this process, one after the other; 2 to 5 s in all.

    They should be warm, and be used for nothing else meanwhile: the best of two runs counts. One that fails is logged,
    and its speed is unknown.

    Args:
        engines: that serve calls.
        cores: that inference may use; those of the process's budget if not given.
    """
    speech: list[Waveform] = []
    voice = await _measured("tts", engines.tts, lambda: _voice(engines.tts, speech))
    question = _question(speech)
    stt = await _measured("stt", engines.stt, lambda: _hearing_s(engines.stt, question))
    turn = await _measured(
        "turn", engines.turn, lambda: _best(lambda: _timed(engines.turn.completeness(question, _ticket())))
    )
    llm = await _measured("llm", engines.llm, lambda: measure_language_model(engines.llm))
    threads = 1 if isinstance(stt, Unmeasured) else getattr(engines.stt, "threads", 1)
    on_gpu = tuple(role for role in ("stt", "turn", "llm", "tts") if device_of(engines.all().get(role)) != "cpu")
    count = CORES.count if cores is None else cores
    return EngineSpeeds(count, stt, turn, llm, voice, stt_threads=threads, on_gpu=on_gpu)


def _ticket() -> Ticket:
    return Ticket(Urgency.FIRST_AUDIO)


async def _measured(role: str, engine: Engine, measure: Callable[[], Awaitable[T | None]]) -> T | Unmeasured:
    """What a measurement of an engine finds, where it works here."""
    if isinstance(engine, AbsentEngine) or engine.kind != "in-process":
        return Unmeasured.ELSEWHERE
    try:
        found, problem = await measure(), "nothing that it does tells its speed"
    except Exception as error:  # whatever an engine raises: of the others is known what there is
        found, problem = None, str(error) or type(error).__name__
    if found is None:
        log.warning("engine not measured", role=role, engine=engine.name, problem=problem)
        return Unmeasured.UNKNOWN
    return found


async def _timed(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def _best(measure: Callable[[], Awaitable[float]]) -> float:
    return min([await measure() for _ in range(TIMES)])


async def _hearing_s(stt: SpeechToText, question: Waveform) -> float:
    """Each time from a later sample, because what begins alike may be known from the last time."""
    beginnings = count()
    return await _best(lambda: _timed(stt.transcribe(question[_LATER * next(beginnings) :], _ticket())))


async def _voice(tts: TextToSpeech, speech: list[Waveform]) -> VoiceSpeed:
    """The better of two sentences; what is said is added to `speech`, at 16 kHz.

    Raises:
        EngineError: it failed, or says nothing.
    """
    speeds: list[VoiceSpeed] = []
    for _ in range(TIMES):
        began, firsts, chunks = time.perf_counter(), [], []
        async for chunk in tts.synthesize(SPOKEN, _ticket()):
            firsts.append(time.perf_counter() - began)
            chunks.append(chunk.pcm)
        pcm = np.concatenate(chunks) if chunks else np.zeros(0, np.int16)
        if not pcm.size:
            raise EngineError("the voice has no sounds for an ordinary sentence")
        speeds.append(VoiceSpeed((time.perf_counter() - began) * SPEECH_RATE / pcm.size, firsts[0]))
        speech.append(np.asarray(soxr.resample(to_waveform(pcm), SPEECH_RATE, HEARING_RATE), np.float32))
    one, other = speeds
    return one.best_with(other)


def _question(speech: list[Waveform]) -> Waveform:
    """Three seconds: of the voice, or of noise where there is none."""
    length = int(QUESTION_S * HEARING_RATE)
    if not speech:
        return np.random.default_rng(0).normal(0, 0.05, length).astype(np.float32)
    return np.resize(speech[-1], length)
