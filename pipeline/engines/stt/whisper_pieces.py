"""Requests to and results of Whisper's windows, put together to one transcript."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.log_mel import HOP
from pipeline.engines.protocols import Transcript, Word
from pipeline.engines.stt.encoded_silence import LONGEST_FRAMES
from pipeline.engines.stt.spoken_language import LanguageChoice
from pipeline.engines.stt.transcript_doubts import Doubt
from pipeline.engines.stt.window_choice import FULL_PADDING_S, PLAIN_PADDING_S
from pipeline.text.normalise import normalise
from pipeline.text.repetition import said_once

SECONDS_PER_TIMESTAMP = 0.02

LONGER_S = (PLAIN_PADDING_S, 15.0)
"""Silence behind the speech in the windows that come after a doubted first one, before the full 30 s."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of one window of audio.

    Attributes:
        audio: 16 kHz, shape (n,).
        language: ISO 639-1 code, None to detect.
        prior: code that is expected.
        prompt: text that came before.
        offset: of the audio, seconds.
        words: whether the words' times are wanted.
        voice: tells whether somebody speaks in the audio, by its loudness and sound and not by its words; None where
            nobody can tell. Asked only where Whisper doubts that there is speech.
        drafted: whether what audio with this beginning was heard as a moment ago may be a draft of its words.
    """

    audio: Waveform
    language: str | None
    prior: str | None
    prompt: str
    offset: float
    words: bool
    voice: Callable[[], bool] | None = None
    drafted: bool = False

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return self.audio.size / HEARING_RATE

    def holds_voice(self, otherwise: bool) -> bool:
        """Whether somebody speaks in it; `otherwise` where nobody can tell."""
        return otherwise if self.voice is None else self.voice()


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to hear.

    Attributes:
        padding_s: silence behind the speech, seconds; None for the full window.
        known_s: silence behind that whose encoding is known, seconds; in English alone.
        precise: in float32.
        timestamps: whether doubted words are read from the same encoding once more, with timestamps.
    """

    padding_s: float | None
    known_s: float = 0.0
    precise: bool = False
    timestamps: bool = True


def rungs(first: Rung, seconds: float, *, precise: bool) -> Iterator[Rung]:
    """Ways to hear audio, from the quickest to the surest.

    Args:
        first: the quickest.
        seconds: length of the audio.
        precise: whether float32 is surer than what the others compute in.
    """
    assert first.padding_s is not None
    yield first
    if first.padding_s >= FULL_PADDING_S:
        # The full one makes nothing of a short word now and then; shorter ones by themselves do.
        yield from map(Rung, LONGER_S)
        return
    longest = LONGEST_FRAMES * HOP / HEARING_RATE - seconds
    for padding in LONGER_S:
        if first.padding_s < padding < longest:
            yield Rung(padding)
    yield Rung(None)
    if precise:
        yield Rung(None, precise=True)


@dataclass(frozen=True, slots=True)
class TranscriptPiece:
    """What one window gave; `log_probability` is summed over `tokens` tokens and the end mark."""

    text: str
    language: LanguageChoice
    no_speech: float
    log_probability: float
    tokens: int
    doubt: Doubt | None = None
    ended: bool = True
    words: tuple[Word, ...] = ()

    @property
    def confidence(self) -> float:
        """Exp of the mean log probability of its tokens."""
        return _confidence(self.log_probability, self.tokens)


def _confidence(log_probability: float, tokens: int) -> float:
    return min(1.0, math.exp(log_probability / (tokens + 1)))


def within_audio(tokens: Sequence[int], timestamp_begin: int, seconds: float) -> list[int]:
    """Text tokens of a decoding with timestamps, less what it places behind the end of the audio.

    Args:
        tokens: text tokens and timestamps; text stands between pairs of these.
        timestamp_begin: the token of 0 s; each one more is `SECONDS_PER_TIMESTAMP` later.
        seconds: length of the audio.
    """
    kept: list[int] = []
    opened = False
    for token in tokens:
        if token < timestamp_begin:
            kept.append(token)
            continue
        opened = not opened
        if opened and (token - timestamp_begin) * SECONDS_PER_TIMESTAMP >= seconds:
            break
    return kept


def agree(piece: TranscriptPiece, before: Sequence[TranscriptPiece]) -> bool:
    """Whether windows of different length gave the same words: then they were said, however odd they look.

    Not so where the decoder never came to an end, nor where there are more words than anybody says in the time.
    """
    same = normalise(piece.text)
    repeated = piece.doubt in (Doubt.REPEATED, Doubt.PROMPT) and piece.ended
    return repeated and any(other.doubt is piece.doubt and normalise(other.text) == same for other in before)


def least_bad(found: Sequence[TranscriptPiece]) -> TranscriptPiece:
    """The best of what was doubted: that of the surest window, a repetition cut to one round.

    Empty where every window gave nothing, or more words than anybody says in the time.
    """
    usable = [piece for piece in found if piece.text and piece.doubt is not Doubt.TOO_FAST]
    if not usable:
        return replace(found[-1], text="", words=())
    best = max(usable, key=lambda piece: (piece.doubt is not Doubt.ENDLESS, piece.confidence))
    once = said_once(best.text, best.language.code)
    return replace(best, text=once, words=best.words[: len(once.split())])


def joined(pieces: Sequence[TranscriptPiece], language: str, duration: float) -> Transcript:
    """One transcript from those of the windows; silent ones say nothing about the confidence in the words."""
    spoken = [piece for piece in pieces if piece.text]
    counted = spoken or pieces
    tokens = sum(piece.tokens + 1 for piece in counted) - 1
    longest = max(counted, key=lambda piece: piece.tokens, default=None)
    return Transcript(
        text=" ".join(piece.text for piece in spoken),
        language=longest.language.code if longest else language,
        no_speech=min((piece.no_speech for piece in counted), default=1.0),
        confidence=_confidence(sum(piece.log_probability for piece in counted), tokens) if counted else 0.0,
        duration=duration,
        words=tuple(word for piece in spoken for word in piece.words),
        language_probability=longest.language.probability if longest else 1.0,
        doubted=any(piece.doubt is not None for piece in counted),
    )
