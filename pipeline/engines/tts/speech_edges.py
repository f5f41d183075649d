"""The edges of a piece of synthesised speech: how it begins, how it ends, and how long it rests before the next one."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from pipeline.audio import Waveform

_STEP_S = 0.005
_AUDIBLE_DB = -40.0
_HEAD_S = 0.005
_FADE_S = 0.005
_REST_S = {".": 0.12, "!": 0.12, "?": 0.12, "…": 0.12, ":": 0.1, ";": 0.1, ",": 0.09, "-": 0.09, "–": 0.09, "—": 0.09}
_PLAIN_REST_S = 0.06


class Part(NamedTuple):
    """A part of a piece of speech.

    Attributes:
        sound: shape (n,).
        last: whether nothing follows.
    """

    sound: Waveform
    last: bool


class SpeechEdges:
    """Trims a piece of speech that comes in parts: the first as soon as something sounds, the last when it is over.

    5 ms stay in front of the first sound. Behind the last one follow 60 ms in the middle of a clause, up to 120 ms
    after a full stop; a voice that left less is given the rest, so that the rhythm does not hang on chance.

    Args:
        rate: of the speech, Hz.
        text: what is said; its last character decides on the rest.
        loudest: level of ordinary speech in this voice, against which silence is told from sound; what comes louder
            takes its place.

    Attributes:
        cut_s: seconds that were cut off the front; known with the first part that is given out.
    """

    def __init__(self, rate: int, text: str, loudest: float = 0.0) -> None:
        self.cut_s = 0.0
        self._rate = rate
        self._step = int(_STEP_S * rate)
        self._fade = int(_FADE_S * rate)
        self._rest = int(_REST_S.get(text.rstrip().rstrip("\"'”’)]")[-1:], _PLAIN_REST_S) * rate)
        self._power = loudest**2
        self._begun = False

    def trim(self, parts: Iterable[Part]) -> Iterator[Part]:
        """The parts without the silence around them, faded in and out. Nothing when nothing is audible."""
        held = np.zeros(0, np.float32)
        for sound, last in parts:
            held = np.concatenate((held, sound))
            audible = self._audible(held)
            if not self._begun and audible.size:
                held = self._begin(held, int(audible[0]))
            if self._begun:
                yield Part(self._end(held) if last else held, last)
                held = held[:0]

    def _audible(self, speech: Waveform) -> np.ndarray:
        """Numbers of the steps of 5 ms in which something sounds."""
        steps = speech[: speech.size // self._step * self._step].reshape(-1, self._step)
        power = np.square(steps).mean(axis=1) if steps.size else np.zeros(0, np.float32)
        self._power = max(self._power, float(power.max(initial=0.0)))
        return np.flatnonzero(power > max(1e-9, self._power * 10 ** (_AUDIBLE_DB / 10)))

    def _begin(self, speech: Waveform, audible: int) -> Waveform:
        first = max(0, audible * self._step - int(_HEAD_S * self._rate))
        self._begun, self.cut_s = True, first / self._rate
        speech = speech[first:].copy()
        fade = min(self._fade, speech.size // 2)
        speech[:fade] *= np.linspace(0.0, 1.0, fade, dtype=np.float32)
        return speech

    def _end(self, speech: Waveform) -> Waveform:
        audible = self._audible(speech)
        sound_end = (int(audible[-1]) + 1) * self._step if audible.size else 0
        kept = speech[: sound_end + self._rest].copy()
        fade = min(self._fade, kept.size // 2)
        kept[kept.size - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
        return np.concatenate((kept, np.zeros(max(0, sound_end + self._rest - kept.size), np.float32)))


def trim_edges(speech: Waveform, rate: int, text: str) -> tuple[Waveform, float]:
    """Trim a whole piece of speech as `SpeechEdges` does.

    Returns:
        The trimmed speech, and the seconds that were cut off its front. Empty when nothing is audible.
    """
    edges = SpeechEdges(rate, text)
    trimmed = list(edges.trim([Part(speech, last=True)]))
    return (trimmed[0].sound if trimmed else speech[:0]), edges.cut_s
