"""English on Whisper's first window by onnxruntime: two thirds of CTranslate2's time, and with a draft a third."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

from pipeline.engines.log_mel import whisper_features
from pipeline.engines.stt.encoded_silence import LONGEST_FRAMES
from pipeline.engines.stt.spoken_language import LanguageChoice
from pipeline.engines.stt.whisper_encoder import choose_among, sounds_english, window_frames
from pipeline.engines.stt.whisper_onnx.converted_weights import Floats
from pipeline.engines.stt.whisper_onnx.onnx_whisper import Heard, OnnxWhisper
from pipeline.engines.stt.whisper_onnx.recent_words import RecentWords
from pipeline.engines.stt.whisper_pieces import Question, Rung
from pipeline.engines.stt.whisper_reading import Reading, most_tokens, start_of

Runtime = Literal["ctranslate2", "onnx"]
"""What hears English on its first window."""


@dataclass(frozen=True, slots=True)
class HeardEnglish:
    """A window that was encoded.

    Attributes:
        language: English, and how likely that is.
        window: as the decoder attends to it.
    """

    language: LanguageChoice
    window: Heard

    @property
    def states(self) -> Floats:
        """Of the encoder, without the known silence, shape (n, width)."""
        return self.window.states


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

    def hear(self, question: Question, rung: Rung, languages: Collection[str]) -> HeardEnglish | None:
        """Encode one window; None where it is not English, or needs a longer look to tell.

        Args:
            question: the audio, and what is known of its language.
            rung: a window with known silence.
            languages: ISO 639-1 codes among which to detect; empty for all.
        """
        if question.language not in (None, "en"):
            return None
        frames = window_frames(question.audio.size, rung.padding_s)
        heard = self.model.hear(whisper_features(question.audio, frames, self.model.bands), rung.known_s)
        if question.language is not None:
            return HeardEnglish(LanguageChoice("en", 1.0, True), heard)
        ranking = cache(partial(self.model.languages_of, heard))
        if not sounds_english(question, ranking, languages):
            return None
        choice = choose_among(question, ranking(), languages, full_window=frames >= LONGEST_FRAMES)
        return HeardEnglish(choice, heard) if choice.code == "en" and choice.settled else None

    def read(self, heard: HeardEnglish, question: Question, tokenizer: Any) -> Reading:
        """The words of a window, by the draft that there may be of them.

        Args:
            heard: the window.
            question: what is asked of it.
            tokenizer: of English, faster-whisper's.
        """
        draft = self.drafts.of(question.audio) if question.drafted else ()
        start = start_of(question, tokenizer, timestamps=False)
        decoded = self.model.decode(heard.window, start, most_tokens(question), draft)
        return Reading(decoded.tokens, decoded.log_probability, decoded.no_speech)

    def keep(self, question: Question, tokens: Sequence[int]) -> None:
        """Remember what a question's audio was heard as, for when more of the same is asked."""
        if question.drafted:
            self.drafts.keep(question.audio, tokens)
