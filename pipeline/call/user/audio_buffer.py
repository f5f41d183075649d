"""The last minutes of the user's audio, addressed by sample numbers counted since the call began."""

import math

import numpy as np

from pipeline.audio import HEARING_RATE, Pcm, Waveform, to_waveform
from pipeline.call.inputs import VoiceHeard
from pipeline.call.user.quiet_voice_gain import NO_SOUND_DB, QuietVoiceGain
from pipeline.engines.protocols import VoiceStream

WINDOW = 512
"""Samples of a voice activity window."""

KEPT_S = 120
"""Audio that is kept; a turn that is longer loses its beginning (whose words are known by then)."""


UNKNOWN_DB = (-100.0, -100.0, -100.0, -100.0)
"""Loudness of a window that is missing."""

BEGUN_S = 4
"""Audio that there is room for at first."""

FORGET_WINDOWS = 10
"""Windows without sound after which the model begins afresh."""


class AudioBuffer:
    """Keeps the audio and cuts it into voice activity windows.

    Memory grows with what is needed: the whole of a call up to `kept_s`, of a stream what `release` has left.

    Args:
        voice: the call's voice activity stream.
        kept_s: seconds of audio to keep.
        begins_at: number of the first sample.
    """

    def __init__(self, voice: VoiceStream, *, kept_s: int = KEPT_S, begins_at: int = 0) -> None:
        self._voice = voice
        self._gain = QuietVoiceGain()
        self._most = kept_s * HEARING_RATE
        self._ring = np.zeros(min(BEGUN_S * HEARING_RATE, self._most), np.int16)
        self._end = begins_at
        self._needed_from = begins_at
        self._windowed = begins_at
        self._soundless = 0
        self._missing_from: int | None = None

    @property
    def end(self) -> int:
        """Number of the next sample."""
        return self._end

    @property
    def memory(self) -> int:
        """Bytes that the audio takes."""
        return self._ring.nbytes

    def add(self, pcm: Pcm, at: float, *, missing: bool = False, echo: bool = False) -> list[VoiceHeard]:
        """Take in audio; returns the windows that it completed.

        Args:
            pcm: 16 kHz, shape (n,).
            at: monotonic time of its last sample.
            missing: it only fills the place of audio that was lost.
            echo: a reply sounds, whose echo may be in it.
        """
        if not missing:
            self._missing_from = None
        elif self._missing_from is None:
            self._missing_from = self._end
        self._make_room(len(pcm))
        size = len(self._ring)
        begin = self._end % size
        room = min(len(pcm), size - begin)
        self._ring[begin : begin + room] = pcm[:room]
        if room < len(pcm):
            self._ring[: len(pcm) - room] = pcm[room:]
        self._end += len(pcm)
        windows = []
        while self._end - self._windowed >= WINDOW:
            start, self._windowed = self._windowed, self._windowed + WINDOW
            later = (self._end - self._windowed) / HEARING_RATE
            windows.append(self._window(start, at - later, echo))
        return windows

    def release(self, before: int) -> None:
        """Audio before a sample is not needed any more; it may be kept for a while."""
        self._needed_from = max(self._needed_from, before)

    def _make_room(self, count: int) -> None:
        """Have a ring that holds so many more samples beside those that are needed, as far as there may be one."""
        size, wanted = len(self._ring), self._end + count - self._needed_from
        if wanted <= size or size == self._most:
            return
        ring = np.zeros(min(max(2 * size, wanted), self._most), np.int16)
        at = max(self._end - size, 0)
        while at < self._end:
            here, there = at % size, at % len(ring)
            run = min(size - here, len(ring) - there, self._end - at)
            ring[there : there + run] = self._ring[here : here + run]
            at += run
        self._ring = ring

    def slice(self, start: int, end: int) -> Waveform:
        """Samples `start` to `end` as a copy, as far as they are kept; shape (n,)."""
        start = max(start, self._end - len(self._ring), 0)
        end = min(end, self._end)
        return to_waveform(self._samples(start, end)) if start < end else np.zeros(0, np.float32)

    def _samples(self, start: int, end: int) -> Pcm:
        ring = self._ring
        first, last = start % len(ring), end % len(ring)
        return ring[first:last] if first < last else np.concatenate((ring[first:], ring[:last]))

    def _window(self, start: int, at: float, echo: bool) -> VoiceHeard:
        if self._missing_from is not None and start >= self._missing_from:
            return VoiceHeard(0.0, UNKNOWN_DB, start + WINDOW, at, missing=True)
        samples = self._samples(start, start + WINDOW)
        quarters = samples.reshape(4, -1).astype(np.float32)
        a, b, c, d = (_level_db(power) for power in np.einsum("ij,ij->i", quarters, quarters).tolist())
        level = max(a, b, c, d)
        probability = self._probability(samples, level, self._gain.db(level, echo=echo))
        return VoiceHeard(probability, (a, b, c, d), start + WINDOW, at)

    def _probability(self, samples: Pcm, level_db: float, gain_db: float) -> float:
        """Voice probability; the model (0.1-0.6 ms) is spared the windows in which there is nothing to hear."""
        if level_db < NO_SOUND_DB:  # a muted or idle microphone
            self._soundless += 1
            return 0.0
        if self._soundless >= FORGET_WINDOWS:
            self._voice.reset()
        self._soundless = 0
        waveform = to_waveform(samples)
        if gain_db:
            waveform *= 10 ** (gain_db / 20)
        return self._voice.probability(waveform)


def _level_db(power: float) -> float:
    """dBFS of a quarter of a window, from the sum of its squares (16 bit)."""
    return 10 * math.log10(power / (WINDOW / 4 * 32768.0**2) + 1e-10)
