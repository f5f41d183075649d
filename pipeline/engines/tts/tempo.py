"""Faster or slower speech at the same pitch, for voices that cannot do it themselves."""

import av
import numpy as np
from av.filter import Graph

from pipeline.audio import SPEECH_RATE, Pcm


def change_tempo(pcm: Pcm, speed: float) -> Pcm:
    """Speech at another speed, by FFmpeg's `atempo` (https://ffmpeg.org/ffmpeg-filters.html#atempo).

    Args:
        pcm: at `SPEECH_RATE`, shape (n,).
        speed: 2 is twice as fast; 0.25 to 4.
    """
    if speed == 1.0 or not pcm.size:
        return pcm
    graph = Graph()
    source = graph.add_abuffer(sample_rate=SPEECH_RATE, format="s16", layout="mono", time_base=None)
    # One filter goes from a half to a hundred.
    factors = (speed,) if speed >= 0.5 else (0.5, speed / 0.5)
    filters = [graph.add("atempo", f"{factor:.4f}") for factor in factors]
    graph.link_nodes(source, *filters, graph.add("abuffersink")).configure()
    frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = SPEECH_RATE
    source.push(frame)
    source.push(None)
    pieces: list[Pcm] = []
    while True:
        try:
            done = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            break
        assert isinstance(done, av.AudioFrame)
        pieces.append(done.to_ndarray().reshape(-1).astype(np.int16))
    return np.concatenate(pieces) if pieces else pcm[:0]
