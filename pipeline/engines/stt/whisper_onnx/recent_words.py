"""The tokens that speech was heard as a moment ago, found again by how it begins.

Interim transcripts of a turn and its last one are of the same audio, which only grows: whoever asks need not say that
they belong together, and neither need a service in another process.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from pipeline.audio import HEARING_RATE, Waveform

BEGINNING_S: Final = 0.5
"""Seconds by which speech is known again; nothing is kept of shorter one."""

KEPT_S: Final = 20.0
"""Seconds after which words are forgotten."""

MOST: Final = 64
"""Stretches of speech that are known at once; the one that was not asked for for longest goes."""


class RecentWords:
    """Token lists by the beginning of their audio. Thread-safe; a wrong one costs a little time and no words.

    Args:
        clock: monotonic time, seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, tuple[float, tuple[int, ...]]] = OrderedDict()

    def of(self, audio: Waveform) -> tuple[int, ...]:
        """What audio with this beginning (16 kHz, shape (n,)) was heard as last; empty where nobody heard it."""
        with self._lock:
            self._drop_old()
            return self._kept.get(_beginning(audio), (0.0, ()))[1]

    def keep(self, audio: Waveform, tokens: Sequence[int]) -> None:
        """Remember what audio was heard as."""
        if audio.size < BEGINNING_S * HEARING_RATE:
            return
        with self._lock:
            key = _beginning(audio)
            self._kept[key] = self._clock(), tuple(tokens)
            self._kept.move_to_end(key)
            self._drop_old()

    def _drop_old(self) -> None:
        while self._kept:
            key, (kept_at, _) = next(iter(self._kept.items()))
            if len(self._kept) <= MOST and self._clock() - kept_at < KEPT_S:
                return
            del self._kept[key]


def _beginning(audio: Waveform) -> bytes:
    head = np.ascontiguousarray(audio[: int(BEGINNING_S * HEARING_RATE)], np.float32)
    return hashlib.blake2b(head.tobytes(), digest_size=16).digest()
