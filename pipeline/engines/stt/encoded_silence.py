"""What Whisper's encoder makes of the silence behind speech, kept, and put behind other speech.

The decoder finds the end of a sentence by what comes behind it: with a second or two of silence it says the sentence
again, with 8 s hardly ever, with Whisper's own 30 s never. But encoding silence costs what encoding speech does. The
states of silence that follows speech differ little from one utterance to the next, so those of one utterance, encoded
once on the full window, go behind the freshly encoded speech and its first seconds of silence. Of 97 English clips
through Opus (whisper-base, int8, heard once) none came out twice and 10 % of the words were wrong, at 0.22 of the time
of the full window; with 8 s of encoded silence one came out many times over, 16 % were wrong, and it took 0.32.

The silence has to be that behind speech: the states of a window of silence alone, or of silence behind noise, cost 40 %
of the words, and a tile of the utterance's own last states cost 56 %. In other languages than English the states of
silence behind an English sentence pull words astray (27 % wrong in place of 22), so they are not used there.
"""

import threading
import wave
from functools import cache
from pathlib import Path
from typing import Any, Final

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from pipeline.audio import Waveform, to_waveform
from pipeline.engines.log_mel import HOP, whisper_features

SPOKEN: Final = Path(__file__).with_name("how_are_you.wav")
"""The utterance: "How are you today?" in the voice of Piper's en_US-joe-medium, 16 kHz, 1 s."""

LONGEST_FRAMES: Final = 3000
"""Frames (10 ms) of Whisper's full window; the encoder halves them."""

_AFTER_S: Final = 0.5
"""The first states behind the utterance still tell of it."""

_STATES_PER_SECOND: Final = 50


class EncodedSilence:
    """The states of silence of one loaded model. Thread-safe.

    Args:
        model: a `ctranslate2.models.Whisper` on the CPU.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._states: NDArray[np.float32] | None = None

    def prepare(self) -> None:
        """Encode the silence, once; costs what a full window does."""
        with self._lock:
            if self._states is None:
                features = whisper_features(spoken(), LONGEST_FRAMES, self._model.n_mels)
                encoded = self._model.encode(ctranslate2.StorageView.from_array(features[None]))
                self._states = np.array(encoded)

    def behind(self, encoded: Any, seconds: float) -> Any:
        """Encoded speech with silence behind it.

        Args:
            encoded: `StorageView` of shape (1, n, d).
            seconds: of silence to add; less where the full window ends sooner.

        Returns:
            `StorageView` of shape (1, n + 50 * seconds, d).
        """
        self.prepare()
        assert self._states is not None
        head = np.array(encoded)
        part = silent_stretch(head.shape[1], seconds)
        if part.start == part.stop:
            return encoded
        states = np.concatenate([head, self._states[:, part]], axis=1)
        return ctranslate2.StorageView.from_array(np.ascontiguousarray(states))


def silent_stretch(count: int, seconds: float) -> slice:
    """Which states of the full window behind `spoken` follow other speech.

    Args:
        count: states of the speech.
        seconds: of silence to add; less where the full window ends sooner.
    """
    longest = LONGEST_FRAMES // 2
    more = max(0, min(int(seconds * _STATES_PER_SECOND), longest - count))
    # From the same place in the window, because the states hold where they are; not from within the utterance.
    within = spoken().size // (2 * HOP) + int(_AFTER_S * _STATES_PER_SECOND)
    start = min(max(count, within), longest - more)
    return slice(start, start + more)


@cache
def spoken() -> Waveform:
    """The utterance, 16 kHz, shape (n,)."""
    with wave.open(str(SPOKEN)) as file:
        return to_waveform(np.frombuffer(file.readframes(file.getnframes()), np.int16))
