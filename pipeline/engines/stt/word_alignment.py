"""Words with times from Whisper's token alignment."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.log_mel import HOP
from pipeline.engines.protocols import Word
from pipeline.engines.stt.encoded_silence import LONGEST_FRAMES

SECONDS_PER_STEP = 0.02
"""What one position of Whisper's encoder output stands for."""

_FRAME = HEARING_RATE // 100
_AUDIBLE = 1e-3
_LONGEST_GAP_IN_WORD = 12


def aligned(model: Any, encoded: Any, tokenizer: Any, tokens: list[int], audio: Waveform) -> tuple[Word, ...]:
    """The words of a text with their times; costs about one decoder step.

    Args:
        model: a `ctranslate2.models.Whisper`.
        encoded: `StorageView` of shape (1, n, d).
        tokenizer: of the language, faster-whisper's.
        tokens: of the text.
        audio: 16 kHz, shape (n,).
    """
    frames = min(LONGEST_FRAMES, -(-audio.size // HOP))
    (result,) = model.align(encoded, tokenizer.sot_sequence, [tokens], frames, median_filter_width=7)
    words, groups = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    return align_words(words, groups, result.alignments, audio)


def shifted(words: Sequence[Word], offset: float) -> tuple[Word, ...]:
    """Words as much later, seconds."""
    return tuple(Word(word.text, round(offset + word.start, 3), round(offset + word.end, 3)) for word in words)


def align_words(
    words: Sequence[str], groups: Sequence[Sequence[int]], alignment: Sequence[tuple[int, int]], audio: Waveform
) -> tuple[Word, ...]:
    """Give each word its time.

    Cross-attention says when a word is over, not when it begins: a pause counts to the word behind it. So each word is
    narrowed to where it can be heard.

    Args:
        words: the text, split; the last one is the end-of-text mark. A leading space starts a new word.
        groups: the tokens of each word.
        alignment: pairs of token index and encoder position, both rising.
        audio: what was transcribed, 16 kHz, shape (n,).

    Returns:
        The words, stripped, seconds from the start of the audio; punctuation is joined to its neighbour.
    """
    duration = audio.size / HEARING_RATE
    begins: dict[int, int] = {}
    for token, step in alignment:
        begins.setdefault(token, step)
    last = max(begins.values(), default=0)
    edges, index = [], 0
    for group in groups:
        edges.append(min(duration, begins.get(index, last) * SECONDS_PER_STEP))
        index += len(group)
    timed = [Word(text, start, end) for text, start, end in zip(words[:-1], edges[:-1], edges[1:], strict=True) if text]
    audible = _audible_frames(audio)
    return tuple(_narrowed(word, audible) for word in _with_punctuation(timed))


def _with_punctuation(words: Sequence[Word]) -> list[Word]:
    joined: list[Word] = []
    opening = ""
    for word in words:
        text = word.text.strip()
        if any(character.isalnum() for character in text):
            joined.append(Word(opening + text, word.start, word.end))
            opening = ""
        elif joined and not word.text.startswith(" "):
            before = joined[-1]
            joined[-1] = Word(before.text + text, before.start, before.end)
        else:
            opening += text
    return joined


def _audible_frames(audio: Waveform) -> NDArray[np.bool_]:
    """Which 10 ms frames lie less than 30 dB under the loudest ones."""
    frames = audio[: audio.size // _FRAME * _FRAME].reshape(-1, _FRAME)
    power = np.square(frames).mean(axis=1)
    return np.asarray(power > _AUDIBLE * np.percentile(power, 99) if power.size else power > 0)


def _narrowed(word: Word, audible: NDArray[np.bool_]) -> Word:
    """The word without the silence around it: the longest audible stretch within its time."""
    first = int(word.start * 100)
    heard = first + np.flatnonzero(audible[first : max(first + 1, round(word.end * 100))])
    if heard.size == 0:
        return word
    stretches = np.split(heard, np.flatnonzero(np.diff(heard) > _LONGEST_GAP_IN_WORD) + 1)
    longest = max(stretches, key=lambda stretch: int(stretch[-1] - stretch[0]))
    return Word(word.text, max(word.start, float(longest[0]) / 100), min(word.end, float(longest[-1] + 1) / 100))
