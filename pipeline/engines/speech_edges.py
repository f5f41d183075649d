"""The edges of a piece of synthesised speech: how it begins, how it ends, and how long it rests before the next one."""

import numpy as np

from pipeline.audio import Waveform

_STEP_S = 0.005
_AUDIBLE_DB = -40.0
_HEAD_S = 0.005
_FADE_S = 0.005
_REST_S = {".": 0.12, "!": 0.12, "?": 0.12, "…": 0.12, ":": 0.1, ";": 0.1, ",": 0.09, "-": 0.09, "–": 0.09, "—": 0.09}
_PLAIN_REST_S = 0.06


def trim_edges(speech: Waveform, rate: int, text: str) -> tuple[Waveform, float]:
    """Cut the silence around speech to what a speaker would leave, and fade it in and out.

    5 ms stay in front of the first sound. Behind the last one follow 60 ms in the middle of a clause, up to 120 ms
    after a full stop; a voice that left less is given the rest, so that the rhythm does not hang on chance.

    Args:
        speech: shape (n,), any rate.
        rate: of the speech, Hz.
        text: what is said; its last character decides on the rest.

    Returns:
        The trimmed speech, and the seconds that were cut off its front. Empty when nothing is audible.
    """
    step = int(_STEP_S * rate)
    steps = speech[: speech.size // step * step].reshape(-1, step)
    power = np.square(steps).mean(axis=1) if steps.size else np.zeros(0, np.float32)
    audible = np.flatnonzero(power > max(1e-9, power.max(initial=0.0) * 10 ** (_AUDIBLE_DB / 10)))
    if audible.size == 0:
        return speech[:0], 0.0
    first = max(0, int(audible[0]) * step - int(_HEAD_S * rate))
    sound_end = (int(audible[-1]) + 1) * step
    rest = int(_REST_S.get(text.rstrip().rstrip("\"'”’)]")[-1:], _PLAIN_REST_S) * rate)
    kept = speech[first : sound_end + rest]
    fade = min(int(_FADE_S * rate), kept.size // 2)
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    trimmed = np.zeros(sound_end + rest - first, np.float32)
    trimmed[: kept.size] = kept
    trimmed[:fade] *= ramp
    trimmed[kept.size - fade : kept.size] *= ramp[::-1]
    return trimmed, first / rate
