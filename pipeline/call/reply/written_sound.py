"""The sound of a reply as it was handed to the playout: how loud it is, and where it begins to be heard."""

import numpy as np

from pipeline.audio import SPEECH_RATE, Pcm
from pipeline.engines.protocols import SpeechChunk

FRAME_SAMPLES = SPEECH_RATE // 50
"""Samples of a 20 ms frame."""

AUDIBLE_POWER = 10**-4.5
"""Mean square of the quietest frame that counts as heard, -45 dBFS."""

LOOK_AHEAD_SAMPLES = SPEECH_RATE * 65 // 10_000
"""What Opus holds back of a frame for the next packet: 6.5 ms."""

LEAD_FRAMES = 15


class WrittenSound:
    """Of one reply. Positions count samples of the speaker."""

    def __init__(self) -> None:
        self._written: list[tuple[int, Pcm]] = []

    def write(self, at: int, pcm: Pcm) -> None:
        """Take in samples that begin at a position."""
        self._written.append((at, pcm))

    def energy(self, begin: int, end: int) -> float:
        """Sum of the squares of the samples from one position to another, full scale being 1."""
        energy = 0.0
        for start, pcm in reversed(self._written):
            if start < end:
                sound = pcm[max(0, begin - start) : end - start].astype(np.float32) / 32768
                energy += float(np.dot(sound, sound))
            if start <= begin:
                break
        return energy

    def lead_s(self, start: int) -> float:
        """Seconds from the frame that begins at a position to the first that can be heard: voices begin with a breath.

        0 where none of the first frames can be.
        """
        for frame in range(LEAD_FRAMES):
            end = start + (frame + 1) * FRAME_SAMPLES - LOOK_AHEAD_SAMPLES
            if self.energy(max(start, end - FRAME_SAMPLES), end) >= FRAME_SAMPLES * AUDIBLE_POWER:
                return frame * FRAME_SAMPLES / SPEECH_RATE
        return 0.0


def level_db(chunk: SpeechChunk) -> float:
    """Loudness of a chunk, dBFS."""
    if not len(chunk.pcm):
        return -100.0
    rms = float(np.sqrt(np.mean(np.square(chunk.pcm.astype(np.float32))))) / 32768
    return 20 * float(np.log10(rms + 1e-5))
