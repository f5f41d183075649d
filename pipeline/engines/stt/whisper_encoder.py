"""Whisper's encoder on windows of a chosen length, and the language that its states tell of."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import ctranslate2

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.log_mel import HOP, whisper_features
from pipeline.engines.stt.encoded_silence import LONGEST_FRAMES, EncodedSilence
from pipeline.engines.stt.spoken_language import (
    SURE_OF_ANOTHER_BEFORE_ENGLISH_SILENCE,
    LanguageChoice,
    choose_language,
    likeliest_language,
)
from pipeline.engines.stt.whisper_pieces import Question, Rung
from pipeline.engines.stt.window_choice import PLAIN_PADDING_S


class WhisperEncoder:
    """The encoder of one loaded model.

    Args:
        model: a `ctranslate2.models.Whisper`.

    Attributes:
        model: likewise.
        silence: states of silence that were computed before.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.silence = EncodedSilence(model)

    def encode_and_name(self, question: Question, rung: Rung, languages: Collection[str]) -> tuple[Any, LanguageChoice]:
        """The states of one window, and its language.

        Args:
            question: the audio, and what is known of its language.
            rung: the window.
            languages: ISO 639-1 codes among which to detect; empty for all.
        """
        encoded = self.encode(question.audio, rung.padding_s, rung.known_s)
        if rung.known_s and not sounds_english(question, partial(self.languages_of, encoded), languages):
            rung = replace(rung, padding_s=PLAIN_PADDING_S, known_s=0.0)
            encoded = self.encode(question.audio, PLAIN_PADDING_S)
        language = self._choose_language(question, encoded, rung, languages)
        if rung.known_s and language.code != "en":
            encoded = self.encode(question.audio, PLAIN_PADDING_S)
        return encoded, language

    def encode(self, audio: Waveform, padding_s: float | None, known_s: float = 0.0) -> Any:
        """The states of audio and the silence behind it, `StorageView` of shape (1, n, d).

        Args:
            audio: 16 kHz, shape (n,).
            padding_s: silence that is encoded with it, seconds; None for the full window.
            known_s: silence whose states are known, seconds.
        """
        features = whisper_features(audio, window_frames(audio.size, padding_s), self.model.n_mels)
        encoded = self.model.encode(ctranslate2.StorageView.from_array(features[None]))
        return self.silence.behind(encoded, known_s) if known_s else encoded

    def languages_of(self, encoded: Any) -> list[tuple[str, float]]:
        """ISO 639-1 codes and probabilities, best first."""
        (ranking,) = self.model.detect_language(encoded)
        return [(mark[2:-2], float(probability)) for mark, probability in ranking]

    def _choose_language(
        self, question: Question, encoded: Any, rung: Rung, languages: Collection[str]
    ) -> LanguageChoice:
        if question.language is not None:
            return LanguageChoice(question.language, 1.0, True)
        choose = partial(choose_among, question, languages=languages)
        full = window_frames(question.audio.size, rung.padding_s) >= LONGEST_FRAMES
        choice = choose(self.languages_of(encoded), full_window=full)
        if not choice.settled:
            choice = choose(self.languages_of(self.encode(question.audio, None)), full_window=True)
        return choice


def choose_among(
    question: Question, ranking: Sequence[tuple[str, float]], languages: Collection[str], *, full_window: bool
) -> LanguageChoice:
    """`choose_language` for a question that leaves it open."""
    size, prior = question.audio.size, question.prior
    return choose_language(ranking, size, prior=prior, allowed=languages, full_window=full_window)


def sounds_english(
    question: Question, ranking: Callable[[], Sequence[tuple[str, float]]], languages: Collection[str]
) -> bool:
    """Whether known silence, which is that behind English, is in its place behind a question's speech.

    Args:
        question: what is known of its language.
        ranking: codes and probabilities, best first; asked for where the language is open.
        languages: ISO 639-1 codes among which to detect; empty for all.
    """
    if question.language is not None:
        return question.language == "en"
    code, probability = likeliest_language(ranking(), languages)
    return code == "en" or (question.prior == "en" and probability < SURE_OF_ANOTHER_BEFORE_ENGLISH_SILENCE)


def window_frames(samples: int, padding_s: float | None) -> int:
    """Frames (10 ms) of a window: the speech (16 kHz) and its padding, even, because the encoder halves them."""
    if padding_s is None:
        return LONGEST_FRAMES
    frames = -(-samples // HOP) + math.ceil(padding_s * HEARING_RATE / HOP)
    return min(LONGEST_FRAMES, frames + frames % 2)
