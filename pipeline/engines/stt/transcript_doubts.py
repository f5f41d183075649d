"""Reasons to hear the same audio again: checks of what a recogniser made of it, that need no second model."""

import enum
import zlib
from typing import Final

import numpy as np

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.text.repetition import UNSPACED, find_repetition, units

_FRAME: Final = HEARING_RATE // 100
_AUDIBLE: Final = 1e-3
"""Power (-30 dB) relative to the loudest frames, above which a frame is sound and not the room."""
_SILENT: Final = 10**-6.5
"""Power (-65 dBFS) of a frame that is nothing but the room; where all are, Whisper goes on with its prompt."""

_WORDS_PER_S: Final = 6.0
_CHARACTERS_PER_S: Final = 11.0
_SPARE_UNITS: Final = 3
_COMPRESSIBLE: Final = 2.4
"""Ratio above which Whisper's own decoder takes a text for a loop (`compression_ratio_threshold`)."""
_COMPRESSED_FROM: Final = 80
_FEWEST_PROMPT_WORDS: Final = 4


class Doubt(enum.Enum):
    """Why the words of one window are not believed yet."""

    EMPTY = "empty"
    """Nothing came although the model takes the audio for speech."""
    REPEATED = "repeated"
    """The text is one sentence said over and over."""
    TOO_FAST = "too_fast"
    """More words than anybody says in the time that there was sound."""
    ENDLESS = "endless"
    """The decoder ran to its limit without finding the end."""
    PROMPT = "prompt"
    """The text is the prompt come back."""


def doubt_about(
    text: str, audible_s: float, *, language: str, speech: bool, ended: bool, prompt: str = ""
) -> Doubt | None:
    """The reason not to believe a transcript yet, None where there is none.

    The model's confidence is no reason: over the real clips whose words had a mean log probability below -0.7, a full
    window gave no fewer errors than a short one.

    Args:
        text: the transcript.
        audible_s: seconds of sound in the audio, see `audible_seconds`.
        language: ISO 639-1 code of the text.
        speech: whether the model takes the audio for speech.
        ended: whether the decoder found the end of the text by itself.
        prompt: what the model was told to have come before.
    """
    said = units(text, language)
    if not said:
        return Doubt.EMPTY if speech else None
    if find_repetition(said) is not None or _compresses_like_a_loop(text):
        return Doubt.REPEATED
    most = audible_s * (_CHARACTERS_PER_S if language in UNSPACED else _WORDS_PER_S) + _SPARE_UNITS
    if len(said) > most:
        return Doubt.TOO_FAST
    if not ended:
        return Doubt.ENDLESS
    if len(said) >= _FEWEST_PROMPT_WORDS and " ".join(said) in " ".join(units(prompt, language)):
        return Doubt.PROMPT
    return None


def audible_seconds(audio: Waveform) -> float:
    """Seconds of the audio (16 kHz, shape (n,)) within 30 dB of its loudest 10 ms frames, and above silence."""
    frames = audio[: audio.size // _FRAME * _FRAME].reshape(-1, _FRAME)
    if not frames.size:
        return audio.size / HEARING_RATE
    power = np.square(frames).mean(axis=1)
    return float(np.count_nonzero(power > max(_AUDIBLE * np.percentile(power, 99), _SILENT))) / 100


def _compresses_like_a_loop(text: str) -> bool:
    data = text.encode()
    return len(data) >= _COMPRESSED_FROM and len(data) / len(zlib.compress(data)) > _COMPRESSIBLE
