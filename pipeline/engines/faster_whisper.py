"""Speech to text by Whisper on CTranslate2 (https://github.com/SYSTRAN/faster-whisper), tuned for single turns.

Greedy, without timestamps, without temperature fallback: one pass, one answer. The encoder's cost grows with its
window, and CTranslate2 takes windows shorter than Whisper's 30 s, so the window is the speech and a few seconds of
silence behind it. The silence is needed: without it the decoder does not find the end and invents one. It is filled
with what Whisper's own front end makes of digital silence. Zeros in feature space, as faster-whisper pads, cost words:
on 16 turns of a lecture 6.7 % disagree with beam 5 on full windows instead of 5.9 %, and at 3 s of silence 99 %
instead of 9 %.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import ctranslate2
import numpy as np

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.log_mel import HOP, whisper_features
from pipeline.engines.protocols import EngineUnavailableError, Transcript, Word
from pipeline.engines.repetition import without_loop
from pipeline.engines.windows import split_at_quiet_points
from pipeline.engines.word_alignment import align_words
from pipeline.lanes import Lane, Ticket

_FILES = ("model.bin", "config.json", "tokenizer.json")
_LONGEST_FRAMES = 3000
_SHORTEST = HEARING_RATE // 50
_PROMPT_TOKENS = 96
_TOKENS_PER_SECOND = 8
_SPARE_TOKENS = 16
_MOST_TOKENS = 224
# Speech down to -3 dB of signal to noise or 34 dB below full level gave at most 0.45; silence, hum, breath, clicks and
# noise gave 0.6 to 0.93 and a confidence of at most 0.6.
_NO_SPEECH = 0.6
_LOW_CONFIDENCE = 0.7


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one window gave; `log_probability` is summed over `tokens` tokens and the end mark."""

    text: str
    language: str
    no_speech: float
    log_probability: float
    tokens: int
    words: tuple[Word, ...] = ()


class FasterWhisper:
    """Whisper behind `pipeline.engines.protocols.SpeechToText`.

    Args:
        folder: a converted model: `model.bin`, `config.json`, `tokenizer.json`.
        lanes: transcriptions that run at the same time; they share the weights.
        threads: threads inside one transcription. More of them speed up long turns and slow down everybody else.
        device: "cpu" or "cuda".
        compute_type: as CTranslate2 names them.
        padding_s: silence behind the speech in the encoder's window, seconds.
        languages: ISO 639-1 codes among which to detect; empty for all.
        capacity: transcriptions that may wait.

    Raises:
        EngineUnavailableError: the model is missing or broken.
    """

    name = "faster-whisper"
    kind: Literal["in-process", "remote"] = "in-process"

    def __init__(
        self,
        folder: Path,
        *,
        lanes: int = 1,
        threads: int = 1,
        device: str = "cpu",
        compute_type: str = "int8",
        padding_s: float = 5.0,
        languages: Sequence[str] = (),
        capacity: int = 256,
    ) -> None:
        for file in _FILES:
            if not (folder / file).is_file():
                raise EngineUnavailableError(f"{folder / file} is missing: run `morgan models pull`")
        self.model = folder.name
        self._padding_s = padding_s
        self._languages = frozenset(languages)
        self._tokenizers: dict[str, Any] = {}
        self.lane = Lane(self.name, workers=lanes, capacity=capacity, threads=threads if device == "cpu" else 1)
        try:
            # In the lane, because CTranslate2's own threads inherit the niceness of the thread that starts them.
            self._whisper, self._vocabulary = self.lane.call(
                lambda: _load(folder, lanes, threads, device, compute_type)
            )
        except Exception as error:  # a broken model shows as RuntimeError, ValueError or a plain Exception
            self.lane.close()
            raise EngineUnavailableError(
                f"{folder} cannot be loaded ({error}): run `morgan models verify` and pull it again"
            ) from error
        # Asked for once: an unloaded model does not answer.
        self._multilingual: bool = self._whisper.is_multilingual

    async def transcribe(
        self,
        audio: Waveform,
        ticket: Ticket,
        *,
        language: str | None = None,
        prior: str | None = None,
        prompt: str = "",
        word_timestamps: bool = False,
    ) -> Transcript:
        """Transcribe one stretch of speech.

        Audio of more than 30 s is cut at quiet points; each window is a job of its own, so that more urgent work comes
        in between, and is prompted with the text of the one before.

        Args:
            audio: 16 kHz, shape (n,).
            ticket: place in the lane.
            language: ISO 639-1 code (a region after it is ignored), None to detect.
            prompt: text that came just before, for names and style.
            word_timestamps: whether `Transcript.words` is wanted; costs about one decoder step.

        Raises:
            ValueError: the model does not know the language.
        """
        code = self._language_code(language)
        pieces: list[_Piece] = []
        offset = 0.0
        for window in split_at_quiet_points(audio):
            if window.size >= _SHORTEST:
                before = pieces[-1].text if pieces and pieces[-1].text else prompt
                hear = partial(self._hear, window, code, before, offset, word_timestamps)
                piece = await self.lane.run(hear, ticket)
                code = piece.language
                pieces.append(piece)
            offset += window.size / HEARING_RATE
        return _joined(pieces, code or "en", audio.size / HEARING_RATE)

    async def warm_up(self) -> None:
        """Transcribe half a second of noise."""
        noise = np.random.default_rng(0).normal(0, 0.01, HEARING_RATE // 2).astype(np.float32)
        await self.transcribe(noise, Ticket())

    async def close(self) -> None:
        """Stop the lane and give the memory of the weights back."""
        await self.lane.aclose()
        self._whisper.unload_model()

    def _language_code(self, language: str | None) -> str | None:
        if not self._multilingual:
            return "en"
        if language is None:
            return None
        code = language.split("-")[0].lower()
        if self._vocabulary.token_to_id(f"<|{code}|>") is None:
            raise ValueError(f"{self.model} does not know the language {language!r}")
        return code

    def _hear(self, audio: Waveform, language: str | None, prompt: str, offset: float, words: bool) -> _Piece:
        """One window, in the lane."""
        encoded = self._encode(audio)
        if language is None:
            language = self._detect(encoded)
        tokenizer = self._tokenizer(language)
        result = self._decode(encoded, tokenizer, prompt, audio.size / HEARING_RATE)
        count = len(result.sequences_ids[0])
        tokens = list(without_loop(result.sequences_ids[0]))
        # CTranslate2 divides the sum by the number of tokens, end mark left out.
        log_probability = result.scores[0] * max(1, count)
        piece = _Piece("", language, float(result.no_speech_prob), log_probability, count)
        text = tokenizer.decode(tokens).strip()
        if not any(character.isalnum() for character in text) or _is_invented(piece):
            return piece
        spoken = self._align(encoded, tokenizer, tokens, audio, offset) if words else ()
        return _Piece(text, language, piece.no_speech, log_probability, count, spoken)

    def _encode(self, audio: Waveform) -> Any:
        features = whisper_features(audio, self._window(audio.size), self._whisper.n_mels)
        return self._whisper.encode(ctranslate2.StorageView.from_array(features[None]))

    def _window(self, samples: int) -> int:
        """Frames of the encoder's window: the speech and its padding, even, because the encoder halves them."""
        frames = -(-samples // HOP) + math.ceil(self._padding_s * HEARING_RATE / HOP)
        return min(_LONGEST_FRAMES, frames + frames % 2)

    def _decode(self, encoded: Any, tokenizer: Any, prompt: str, seconds: float) -> Any:
        start = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        if prompt.strip():
            start = [tokenizer.sot_prev, *tokenizer.encode(" " + prompt.strip())[-_PROMPT_TOKENS:], *start]
        most = min(_MOST_TOKENS, int(seconds * _TOKENS_PER_SECOND) + _SPARE_TOKENS)
        (result,) = self._whisper.generate(
            encoded,
            [start],
            beam_size=1,
            # CTranslate2 stops at the lesser of half of this and this less the prompt.
            max_length=max(2 * most, most + len(start)),
            suppress_blank=True,
            suppress_tokens=[-1],
            return_scores=True,
            return_no_speech_prob=True,
        )
        return result

    def _detect(self, encoded: Any) -> str:
        (ranking,) = self._whisper.detect_language(encoded)
        codes = [mark[2:-2] for mark, _ in ranking]
        return next((code for code in codes if not self._languages or code in self._languages), str(codes[0]))

    def _align(
        self, encoded: Any, tokenizer: Any, tokens: list[int], audio: Waveform, offset: float
    ) -> tuple[Word, ...]:
        frames = min(_LONGEST_FRAMES, -(-audio.size // HOP))
        (result,) = self._whisper.align(encoded, tokenizer.sot_sequence, [tokens], frames, median_filter_width=7)
        words, groups = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
        timed = align_words(words, groups, result.alignments, audio)
        return tuple(Word(word.text, round(offset + word.start, 3), round(offset + word.end, 3)) for word in timed)

    def _tokenizer(self, language: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        if language not in self._tokenizers:
            self._tokenizers[language] = Tokenizer(
                self._vocabulary, self._multilingual, task="transcribe", language=language
            )
        return self._tokenizers[language]


def _load(folder: Path, lanes: int, threads: int, device: str, compute_type: str) -> tuple[Any, Any]:
    from tokenizers import Tokenizer as Vocabulary

    whisper = ctranslate2.models.Whisper(
        str(folder), device=device, compute_type=compute_type, inter_threads=lanes, intra_threads=threads
    )
    return whisper, Vocabulary.from_file(str(folder / "tokenizer.json"))


def _confidence(log_probability: float, tokens: int) -> float:
    return min(1.0, math.exp(log_probability / (tokens + 1)))


def _is_invented(piece: _Piece) -> bool:
    """Whisper says "you" or "Thank you" to silence; it doubts itself then, and doubts that there was speech."""
    return piece.no_speech > _NO_SPEECH and _confidence(piece.log_probability, piece.tokens) < _LOW_CONFIDENCE


def _joined(pieces: Sequence[_Piece], language: str, duration: float) -> Transcript:
    """One transcript from those of the windows; silent ones say nothing about the confidence in the words."""
    spoken = [piece for piece in pieces if piece.text]
    counted = spoken or pieces
    tokens = sum(piece.tokens + 1 for piece in counted) - 1
    return Transcript(
        text=" ".join(piece.text for piece in spoken),
        language=language,
        no_speech=min((piece.no_speech for piece in counted), default=1.0),
        confidence=_confidence(sum(piece.log_probability for piece in counted), tokens) if counted else 0.0,
        duration=duration,
        words=tuple(word for piece in spoken for word in piece.words),
    )
