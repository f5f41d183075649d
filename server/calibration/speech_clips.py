"""Short stretches of real speech to calibrate with, as calls bring them: through Opus, at 16 kHz."""

import numpy as np
import structlog

from media.audio_file import AudioFile
from media.opus import OpusDecoder, OpusEncoder
from media.values import SEND_RATE
from pipeline.audio import HEARING_RATE, Pcm, Waveform, to_waveform
from pipeline.models import ModelError, ModelStore

MODEL_ID = "calibration-speech"
FILE = "two_cities.wav"

LONGEST_S = 7.0
SHORTEST_S = 0.8
PAUSE_S = 0.25
KEPT_S = 0.15
"""Silence that stays on either side of a stretch."""

_STEP = HEARING_RATE // 100
_AUDIBLE = 1e-3

log = structlog.get_logger(__name__)


def speech_clips(store: ModelStore) -> list[Waveform]:
    """The recorded sentences, fetched where that is possible; none where it is not, for nobody waits for them.

    Returns:
        Each 16 kHz, shape (n,), 0.8 to 7 s.
    """
    try:
        store.ensure([MODEL_ID])
        source = AudioFile((store.path(MODEL_ID) / FILE).read_bytes(), SEND_RATE)
    except (ModelError, OSError, ValueError) as error:
        log.warning("no recorded speech to calibrate with", problem=str(error))
        return []
    try:
        pcm = source.read(SEND_RATE * 120)
    finally:
        source.close()
    return stretches(through_opus(pcm))


def through_opus(pcm: Pcm) -> Waveform:
    """Speech as a caller's browser sends it.

    Args:
        pcm: 24 kHz, shape (n,).

    Returns:
        16 kHz, shape (m,).
    """
    encoder, decoder = OpusEncoder(), OpusDecoder()
    frame = SEND_RATE // 50
    try:
        heard = [
            decoder.decode(encoder.encode(pcm[start : start + frame])) for start in range(0, len(pcm) - frame, frame)
        ]
    finally:
        encoder.close()
        decoder.close()
    return to_waveform(np.concatenate(heard)) if heard else np.zeros(0, np.float32)


def stretches(audio: Waveform) -> list[Waveform]:
    """Speech cut at its pauses, with a little of these; what is too short or too long is left out.

    Args:
        audio: 16 kHz, shape (n,).
    """
    frames = audio[: audio.size // _STEP * _STEP].reshape(-1, _STEP)
    if not frames.size:
        return []
    power = np.square(frames).mean(axis=1)
    sounding = np.flatnonzero(power > _AUDIBLE * np.percentile(power, 99))
    parts = np.split(sounding, np.flatnonzero(np.diff(sounding) > PAUSE_S * 100) + 1)
    kept = int(KEPT_S * HEARING_RATE)
    cut = [audio[max(0, part[0] * _STEP - kept) : (part[-1] + 1) * _STEP + kept] for part in parts if part.size]
    return [each for each in cut if SHORTEST_S <= each.size / HEARING_RATE <= LONGEST_S]
