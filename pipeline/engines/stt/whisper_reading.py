"""What is read from an encoding: tokens by CTranslate2's decoder, and what is to be thought of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pipeline.engines.stt.spoken_language import LanguageChoice
from pipeline.engines.stt.transcript_doubts import Doubt, doubt_about
from pipeline.engines.stt.whisper_pieces import Question, TranscriptPiece, within_audio

# Speech down to -3 dB of signal to noise or 34 dB below full level gave at most 0.45; silence, hum, breath, clicks and
# noise gave 0.6 to 0.93 and a confidence of at most 0.6.
NO_SPEECH: Final = 0.6
LOW_CONFIDENCE: Final = 0.7

READ_AGAIN: Final = (Doubt.REPEATED, Doubt.TOO_FAST, Doubt.ENDLESS)
"""Doubts for which the same encoding is read with timestamps: it is two thirds of the work."""

BEAMS: Final = 2
"""Hypotheses side by side in languages other than English. There the model is less sure of a token, and greedy decoding
goes astray on windows of any length: of 15 clips, heard some five times with noise or a shift, 22.4 % of the words
came out wrong, with two hypotheses 18.7 %, with five 18.4 %, with five on 30 s windows 18.3 %. Two cost 7 % of the
decoder's time, five 44. English has 30 wrong words of 656 without, 28 with two, 25 with five, which cost half of the
whole time more.
"""

_PROMPT_TOKENS: Final = 96
_TOKENS_PER_SECOND: Final = 10
_SPARE_TOKENS: Final = 16
_MOST_TOKENS: Final = 224


@dataclass(frozen=True, slots=True)
class Reading:
    """What a decoder said.

    Attributes:
        tokens: all of them, the end mark left out.
        log_probability: summed over them and the end mark.
        no_speech: probability that there was no speech.
    """

    tokens: Sequence[int]
    log_probability: float
    no_speech: float


def start_of(question: Question, tokenizer: Any, *, timestamps: bool) -> list[int]:
    """The tokens before the text.

    Args:
        question: with the text that came before it.
        tokenizer: of the language, faster-whisper's.
        timestamps: whether the text is to have them.
    """
    start = [*tokenizer.sot_sequence, *([] if timestamps else [tokenizer.no_timestamps])]
    prompt = question.prompt.strip()
    if prompt:
        start = [tokenizer.sot_prev, *tokenizer.encode(" " + prompt)[-_PROMPT_TOKENS:], *start]
    return start


def most_tokens(question: Question) -> int:
    """As many as the decoder may say of a question's audio."""
    return min(_MOST_TOKENS, int(question.seconds * _TOKENS_PER_SECOND) + _SPARE_TOKENS)


def read(model: Any, encoded: Any, start: list[int], most: int, beams: int) -> Reading:
    """Read an encoding by CTranslate2.

    Args:
        model: a `ctranslate2.models.Whisper`.
        encoded: `StorageView` of shape (1, n, d).
        start: tokens before the text.
        most: tokens.
        beams: hypotheses side by side.
    """
    (result,) = model.generate(
        encoded,
        [start],
        beam_size=beams,
        # CTranslate2 stops at the lesser of half of this and this less the prompt.
        max_length=max(2 * most, most + len(start)),
        suppress_blank=True,
        suppress_tokens=[-1],
        return_scores=True,
        return_no_speech_prob=True,
    )
    said = result.sequences_ids[0]
    # CTranslate2 divides the sum by the number of tokens, end mark left out.
    return Reading(said, result.scores[0] * max(1, len(said)), float(result.no_speech_prob))


def judged(
    reading: Reading,
    question: Question,
    tokenizer: Any,
    language: LanguageChoice,
    audible_s: float,
    *,
    timestamps: bool,
) -> tuple[TranscriptPiece, list[int]]:
    """A reading as words, with the reason not to believe them if there is one; and the tokens of the text.

    Args:
        reading: what was said.
        question: of what.
        tokenizer: of the language, faster-whisper's.
        language: that it was read in.
        audible_s: see `transcript_doubts.audible_seconds`.
        timestamps: whether the tokens have some.
    """
    said = reading.tokens
    tokens = within_audio(said, tokenizer.timestamp_begin, question.seconds) if timestamps else list(said)
    ended = len(said) < most_tokens(question)
    piece = TranscriptPiece("", language, reading.no_speech, reading.log_probability, len(said), ended=ended)
    speech = piece.no_speech <= NO_SPEECH or question.holds_voice(otherwise=False)
    text = tokenizer.decode(tokens).strip()
    if not any(character.isalnum() for character in text):
        return replace(piece, doubt=Doubt.EMPTY if speech else None), tokens
    if not speech and piece.confidence < LOW_CONFIDENCE:
        # Whisper says "you" or "Thank you" to silence; it doubts itself then, and doubts that there was speech.
        return piece, tokens
    prompt = question.prompt.strip()
    doubt = doubt_about(text, audible_s, language=language.code, speech=speech, ended=ended, prompt=prompt)
    return replace(piece, text=text, doubt=doubt), tokens
