"""Echo detection: Morgan's own voice in the user's microphone, told from a user who speaks over it.

Browsers cancel echo and phones mostly do; loudspeakers beside a bare microphone do not. What was played and what was
heard are compared as loudness, one value per voice activity window (32 ms): an echo follows what was played, late by
the same time and quieter by the same factor. Speech of somebody else does not: over two seconds of it the two correlate
by 0.83 at most at the best of all delays, while an echo 25 dB down does by more than 0.92 (Piper against 41 s of
real speech).
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Row = NDArray[np.float64]

COMPARED = 64
"""Windows that are compared: 2 s, of which those count in which something was played."""

LAGS = 16
"""Longest delay of an echo, windows: 0.5 s, a round trip over a bad line with a jitter buffer behind it."""

CORRELATED = 0.85
"""Correlation from which on it is an echo."""

CONFIRMED = 0.7
"""Correlation at the known delay that is enough to say that an echo is still there."""

REFUTED = 0.5
"""Correlation below which there is none; what lies between is an echo with holes, or chance."""

WANDERING = 3
"""Windows by which the delay may be off: jitter buffers grow and shrink, and a busy machine plays in bursts."""

SOUNDING = 26
"""So many of them it takes: 0.8 s."""

EVERY = 2
"""Windows from one comparison to the next."""

FORGETTING = 0.97
"""By what an echo that seems gone is expected quieter with each comparison: to a tenth in 5 s of a reply."""

LOUDEST = 0.125
"""Share (-18 dB) of the reply up to which an echo is expected while it is not known whether there is one."""

MARGIN = 2.0
"""Sound up to this factor (6 dB) above the expected echo is echo."""


class EchoGuard:
    """Learns the echo of one call, and finds it. Sans-I/O, 32 ms at a time.

    Attributes:
        coupling: loudness of the echo as a share of what is played; 0 while no echo is known.
        lag: its delay in windows.
        known: whether it is known if there is one.
    """

    def __init__(self) -> None:
        self.coupling = 0.0
        self.lag = 0
        self.known = False
        self._played = np.zeros(COMPARED + LAGS)
        # The same memory; row r lags by LAGS - r.
        self._lagging = sliding_window_view(self._played, COMPARED)
        self._heard = np.zeros(COMPARED)
        self._quiet = COMPARED + LAGS
        self._until_comparison = EVERY
        self._suspected: int | None = None

    def hear(self, heard: float, played: float) -> bool:
        """Take in a window; whether there is nothing in it but echo (and what is quieter).

        Args:
            heard: RMS of the user's audio in it, full scale being 1.
            played: RMS of what was played meanwhile.
        """
        self._quiet = 0 if played > 0 else self._quiet + 1
        if self._quiet >= len(self._played):
            self._suspected = None
            return False
        _push(self._played, played)
        _push(self._heard, heard)
        self._until_comparison -= 1
        if not self._until_comparison:
            self._until_comparison = EVERY
            self._compare()
        if not self.known:
            # What was played before the longest delay has passed.
            return heard < float(self._played[-LAGS - WANDERING :].max()) * LOUDEST
        newest = len(self._played) - 1 - self.lag
        nearby = self._played[newest - WANDERING : newest + WANDERING + 1]
        expected = float(nearby.max()) * self.coupling
        return heard <= expected * MARGIN

    def _compare(self) -> None:
        """Look for the delay at which what was heard follows what was played."""
        played = self._lagging
        sounding = played > 0
        count = sounding.sum(axis=1)
        if count.max() < SOUNDING:
            return
        correlation = np.where(count >= SOUNDING, _correlation(played, self._heard, sounding), -1.0)
        lag = LAGS - int(correlation.argmax())
        row = LAGS - self.lag
        if correlation.max() >= CORRELATED:
            # Once may be chance.
            if self._suspected is not None and abs(self._suspected - lag) <= 1:
                self.known, self.lag = True, lag
                self.coupling = self._ratio(played[LAGS - lag], sounding[LAGS - lag])
            self._suspected = lag
            return
        self._suspected = None
        if self.coupling and correlation[row] >= CONFIRMED:
            self.coupling = self._ratio(played[row], sounding[row])
        elif self.coupling and count[row] >= SOUNDING:
            # An echo cannot be louder than all that was heard; but what was heard may have holes.
            limit = self._ratio(played[row], sounding[row])
            self.coupling = min(self.coupling, max(limit, self.coupling * FORGETTING))
        elif count.min() >= SOUNDING and (correlation.max() < REFUTED or count.min() == COMPARED):
            self.known = True

    def _ratio(self, played: Row, sounding: NDArray[np.bool_]) -> float:
        return float(np.sqrt((self._heard[sounding] ** 2).sum() / (played[sounding] ** 2).sum()))


def _correlation(played: Row, heard: Row, sounding: NDArray[np.bool_]) -> Row:
    """Of each row of `played` with `heard`, over the windows that sound; shape (rows,)."""
    count = np.maximum(sounding.sum(axis=1, keepdims=True), 1)
    x = np.where(sounding, played - played.sum(axis=1, keepdims=True) / count, 0.0)
    y = np.where(sounding, heard - (sounding @ heard)[:, None] / count, 0.0)
    return np.asarray((x * y).sum(axis=1) / (np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1)) + 1e-12))


def _push(line: Row, value: float) -> None:
    line[:-1] = line[1:]
    line[-1] = value
