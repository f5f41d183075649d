"""Voice in a stretch of audio, by voice activity alone."""

from pipeline.audio import Waveform
from pipeline.engines.protocols import VoiceActivityDetector

WINDOW = 512
"""Samples of a voice activity window (32 ms at 16 kHz)."""

CLEAR_VOICE = 0.9
"""Probability of a window that is certainly voice: none of 13 recorded noises (babble, music, a baby, a dog, a kitchen,
coughs) has a window of that, spoken digits and letters have 4 to 13."""

FEWEST_WINDOWS = 2


def holds_voice(vad: VoiceActivityDetector, audio: Waveform) -> bool:
    """Whether at least two windows are certainly voice; 0.1 ms for each 32 ms of audio.

    Args:
        vad: whose streams are used, one for each question.
        audio: 16 kHz, shape (n,).
    """
    stream = vad.open_stream()
    found = 0
    for start in range(0, audio.size - WINDOW + 1, WINDOW):
        found += stream.probability(audio[start : start + WINDOW]) >= CLEAR_VOICE
        if found >= FEWEST_WINDOWS:
            return True
    return False
