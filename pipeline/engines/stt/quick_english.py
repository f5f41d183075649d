"""English on Whisper's first window by onnxruntime: two thirds of CTranslate2's time, and with a draft a third."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.engines.log_mel import whisper_features
from pipeline.engines.stt.encoded_silence import LONGEST_FRAMES
from pipeline.engines.stt.spoken_language import LanguageChoice
from pipeline.engines.stt.whisper_encoder import choose_among, sounds_english, window_frames
from pipeline.engines.stt.whisper_onnx.converted_weights import Floats
from pipeline.engines.stt.whisper_onnx.onnx_whisper import AnotherLanguageError, OnnxWhisper, Ranking
from pipeline.engines.stt.whisper_onnx.recent_words import RecentWords
from pipeline.engines.stt.whisper_pieces import Question, Rung
from pipeline.engines.stt.whisper_reading import Reading, most_tokens, start_of


@dataclass(frozen=True, slots=True)
class HeardEnglish:
    """A window that was read.

    Attributes:
        reading: its words.
        language: English, and how likely that is.
        states: of the encoder, without the known silence, shape (n, width).
    """

    reading: Reading
    language: LanguageChoice
    states: Floats


class QuickEnglish:
    """Hears English with known silence behind it. Thread-safe.

    Args:
        model: the weights.

    Attributes:
        model: the same.
        drafts: what was heard a moment ago.
    """

    def __init__(self, model: OnnxWhisper) -> None:
        self.model = model
        self.drafts = RecentWords()

    @classmethod
    def load(cls, folder: Path, vocabulary: Any, *, threads: int, cache: Path | None) -> "QuickEnglish":
        """From a model converted for CTranslate2; see `OnnxWhisper`."""
        return cls(OnnxWhisper(folder, vocabulary, threads=threads, cache=cache))

    def hear(self, question: Question, rung: Rung, languages: Collection[str], tokenizer: Any) -> HeardEnglish | None:
        """Hear one window, by the draft that there may be of its words; None where it is not English.

        None, too, where only a longer look tells.

        Args:
            question: the audio, and what is known of its language.
            rung: a window with known silence.
            languages: ISO 639-1 codes among which to detect; empty for all.
            tokenizer: of English, faster-whisper's.
        """
        if question.language not in (None, "en"):
            return None
        frames = window_frames(question.audio.size, rung.padding_s)
        window = self.model.hear(whisper_features(question.audio, frames, self.model.bands), rung.known_s)
        choice = LanguageChoice("en", 1.0, True)

        def is_english(ranking: Ranking) -> bool:
            nonlocal choice
            if not sounds_english(question, lambda: ranking, languages):
                return False
            choice = choose_among(question, ranking, languages, full_window=frames >= LONGEST_FRAMES)
            return choice.code == "en" and choice.settled

        draft = self.drafts.of(question.audio) if question.drafted else ()
        start, most = start_of(question, tokenizer, timestamps=False), most_tokens(question)
        try:
            decoded = self.model.decode(window, start, most, draft, is_english if question.language is None else None)
        except AnotherLanguageError:
            return None
        reading = Reading(decoded.tokens, decoded.log_probability, decoded.no_speech)
        return HeardEnglish(reading, choice, window.states)

    def keep(self, question: Question, tokens: Sequence[int]) -> None:
        """Remember what a question's audio was heard as, for when more of the same is asked."""
        if question.drafted:
            self.drafts.keep(question.audio, tokens)
