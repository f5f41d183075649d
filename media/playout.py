"""The outgoing queue of one call: positions, fades, pauses and ducking."""

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from media.values import SEND_RATE, MediaError, Pcm, PlayoutChange, PlayoutEvent

FRAME_SAMPLES = SEND_RATE // 50
"""Samples of a frame: 20 ms."""

FADE_SAMPLES = SEND_RATE * 8 // 1000
"""Samples of a fade: 8 ms, long enough not to click and too short to be heard as a swell."""

KEPT_SAMPLES = 2 * SEND_RATE
"""Sound that has gone out and can be said again: 2 s, longer than a word."""


_FADE_OUT: NDArray[np.float32] = np.arange(FADE_SAMPLES - 1, -1, -1, dtype=np.float32) / np.float32(FADE_SAMPLES)
_NOTHING: Pcm = np.empty(0, dtype=np.int16)


class PlayoutFullError(MediaError):
    """More audio waits than the queue may hold; nothing of what was written was taken."""


class Playout:
    """Implements `media.values.Speaker`; its one reader calls `next_frame` once per 20 ms. Sans-I/O.

    Sound always starts from and ends at zero: it fades in when it starts, goes on after starvation or is resumed, and
    fades out when it ends, starves, is paused or flushed. Fades happen within the written samples, so positions stay
    exact: a pause fades out over the 8 ms after the position at which it was asked for and holds behind them. What has
    gone out in the last two seconds is kept, so that the sound can go on from before the pause.

    `PlayoutChange.STARTED` comes with the first frame of sound after the queue was empty, not with a resume. `DRAINED`
    comes with the last frame, or with the next one where `finish` came later; it comes once for each `finish`, also for
    one that follows nothing, but not when `flush` intervened: who flushes knows that it is over.

    Args:
        capacity_s: most audio that may wait; a write beyond it raises `PlayoutFullError` and takes nothing.
    """

    def __init__(self, capacity_s: float = 120.0) -> None:
        self._capacity = int(capacity_s * SEND_RATE)
        self._queue: deque[Pcm] = deque()
        self._written = 0
        self._position = 0
        self._gone: deque[Pcm] = deque()
        self._kept = 0
        # The faded rest of what was flushed; goes out in a frame of its own, before the queue.
        self._tail: Pcm | None = None
        # Where the gain began to rise, or begins (and over how many samples) to fall.
        self._fade_in_at = 0
        self._fade_out_at: int | None = None
        self._fade_out_samples = FADE_SAMPLES
        # Whether the last frame was sound up to its end, and whether the queue has ended or starved since it started.
        self._sounding = False
        self._idle = True
        self._finished = False
        self._pausing = False
        self._paused = False
        self._gain = self._target_gain = 1.0
        self._last_sample = 0
        self._resting = False
        self._on_taken: Callable[[], None] | None = None
        self._on_begin: Callable[[], object] | None = None

    def read_by(self, on_taken: Callable[[], None] | None = None, on_begin: Callable[[], object] | None = None) -> None:
        """Take another reader in the place of the one before.

        Args:
            on_taken: called when yet another reader takes its place; it must not read any more then.
            on_begin: called when sound has been written and nothing was there before it.
        """
        taken, self._on_begin, self._on_taken = self._on_taken, on_begin, on_taken
        if taken is not None:
            taken()

    @property
    def written(self) -> int:
        """Position at which the next written sample will lie."""
        return self._written

    @property
    def position(self) -> int:
        """Written samples that have gone out."""
        return self._position

    @property
    def tail(self) -> int:
        """Most samples of what waits that would still go out, fading, if it were flushed now."""
        if self._tail is not None:
            return len(self._tail)
        return FADE_SAMPLES if self._sounding else 0

    def write(self, pcm: Pcm) -> int:
        """Queue audio (it is copied); returns the position of its first sample. Takes back a `finish` before it.

        Raises:
            PlayoutFullError: it does not fit; nothing was taken.
            ValueError: not a one-dimensional int16 array.
        """
        if pcm.ndim != 1 or pcm.dtype != np.int16:
            raise ValueError(f"audio to play is int16 of shape (n,), not {pcm.dtype} of shape {pcm.shape}")
        waiting = self._written - self._position
        if waiting + len(pcm) > self._capacity:
            raise PlayoutFullError(
                f"{waiting / SEND_RATE:.1f} s wait, {len(pcm) / SEND_RATE:.1f} s more do not fit into "
                f"{self._capacity / SEND_RATE:.0f} s"
            )
        start = self._written
        if len(pcm):
            self._queue.append(pcm.copy())
            self._written += len(pcm)
            self._finished = False
            self._abandon_end()
            if self._on_begin is not None and self._idle and not waiting and not self._sounding:
                self._on_begin()
        return start

    def finish(self) -> None:
        """Say that the utterance is complete: when the queue is empty that is the end, not starvation."""
        self._finished = True

    def flush(self) -> int:
        """Drop what waits; returns the position at which the sound ends, to which `written` falls back.

        Where sound is going out, the next 8 ms of it stay, fading out. Ends a pause, since nothing is held any more.
        """
        if self._tail is None and self._sounding:
            self._tail = self._take(min(self.tail, self._written - self._position))
        self._queue.clear()
        self._written = self._position + (0 if self._tail is None else len(self._tail))
        self._idle = True
        self._finished = self._pausing = self._paused = False
        return self._written

    def pause(self) -> None:
        """Fade out and hold the queue where it is."""
        if not self._paused:
            self._pausing = True

    def resume(self, at: int | None = None) -> None:
        """Go on from where `pause` stopped, fading in.

        Args:
            at: an earlier position from which to go on, as far as the sound is kept; `position` falls back to it. Only
                after a pause.
        """
        if at is not None and self._paused:
            self._rewind(at)
        self._pausing = self._paused = False

    def rest(self, resting: bool) -> None:
        """Say whether nothing is about to be said."""
        self._resting = resting

    @property
    def resting(self) -> bool:
        """Whether nothing is about to be said, and nothing is left of what was."""
        return self._resting and self._idle and not self._sounding and self._written == self._position

    def duck(self, gain: float) -> None:
        """Ramp the loudness to `gain` over the first 8 ms of the next frame.

        Raises:
            ValueError: not between 0 and 1.
        """
        if not 0.0 <= gain <= 1.0:
            raise ValueError(f"gain {gain} is not between 0 and 1")
        self._target_gain = gain

    def next_frame(self, now: float) -> tuple[Pcm | None, list[PlayoutEvent]]:
        """The next 20 ms.

        Args:
            now: when it goes out; stamped on the events.

        Returns:
            Shape (480,) at `SEND_RATE`, or None for silence; and what happened at this frame.
        """
        frame: Pcm | None = None
        if self._tail is not None:
            frame = self._closing_frame(self._tail)
            self._tail = None
        elif self._pausing and self._sounding:
            frame = self._closing_frame(self._take(min(FADE_SAMPLES, self._written - self._position)))
        elif not self._pausing and not self._paused:
            return self._running_frame(now)
        self._paused = self._paused or self._pausing
        self._pausing = self._sounding = False
        if frame is None:
            self._gain = self._target_gain
        return frame, self._ending(now)

    def _running_frame(self, now: float) -> tuple[Pcm | None, list[PlayoutEvent]]:
        waiting = self._written - self._position
        if not waiting:
            return self._empty_frame(now)
        events: list[PlayoutEvent] = []
        if self._idle:
            self._idle = False
            events.append(PlayoutEvent(PlayoutChange.STARTED, now, self._position))
        if not self._sounding:
            self._fade_in_at, self._fade_out_at = self._position, None
        taken = min(waiting, FRAME_SAMPLES)
        if taken < FADE_SAMPLES and self._fade_out_at is None:
            frame = self._closing_frame(self._take(taken))
        else:
            if taken < FRAME_SAMPLES or (self._finished and waiting - taken < FADE_SAMPLES):
                self._foresee_end(waiting)
            pcm = self._take(taken)
            frame = self._shaped(pcm, self._envelope(self._position, taken))
            self._passed(pcm)
        self._sounding = taken == FRAME_SAMPLES
        self._last_sample = int(frame[-1])
        events += self._ending(now)
        if not self._sounding:
            events += self._starving(now)
        return frame, events

    def _empty_frame(self, now: float) -> tuple[Pcm | None, list[PlayoutEvent]]:
        frame = self._closing_frame(_NOTHING) if self._sounding and self._last_sample else None
        self._sounding = False
        self._gain = self._target_gain
        return frame, self._ending(now) or self._starving(now)

    def _closing_frame(self, pcm: Pcm) -> Pcm:
        """A frame in which sound stops short: the samples that are left for it (at most `FADE_SAMPLES`) fade out.

        With fewer of them a fade would be a click, so that they stay as they are and the last one decays behind them.
        """
        count = len(pcm)
        envelope = self._envelope(self._position, count)
        if count == FADE_SAMPLES:
            envelope = _FADE_OUT if envelope is None else envelope * _FADE_OUT
        frame = self._shaped(pcm, envelope)
        self._passed(pcm)
        if count < FADE_SAMPLES:
            last = int(frame[count - 1]) if count else self._last_sample
            frame[count : count + FADE_SAMPLES] = last * _FADE_OUT
        return frame

    def _passed(self, pcm: Pcm) -> None:
        """Note that samples go out."""
        if not len(pcm):
            return
        self._position += len(pcm)
        self._gone.append(pcm)
        self._kept += len(pcm)
        while self._kept - len(self._gone[0]) >= KEPT_SAMPLES:
            self._kept -= len(self._gone.popleft())

    def _rewind(self, at: int) -> None:
        """Put what has gone out since a position back in front of the queue."""
        back = min(self._position - at, self._kept)
        while back > 0:
            pcm = self._gone.pop()
            self._kept -= len(pcm)
            if len(pcm) > back:
                self._gone.append(pcm[:-back])
                self._kept += len(pcm) - back
                pcm = pcm[-back:]
            self._queue.appendleft(pcm)
            self._position -= len(pcm)
            back -= len(pcm)

    def _ending(self, now: float) -> list[PlayoutEvent]:
        if not self._finished or self._position < self._written:
            return []
        self._finished = False
        self._idle = True
        return [PlayoutEvent(PlayoutChange.DRAINED, now, self._position)]

    def _starving(self, now: float) -> list[PlayoutEvent]:
        if self._idle:
            return []
        self._idle = True
        return [PlayoutEvent(PlayoutChange.STARVED, now, self._position)]

    def _take(self, samples: int) -> Pcm:
        """Remove the next samples from the queue, which must hold that many."""
        if not samples:
            return _NOTHING
        first = self._queue[0]
        if len(first) > samples:
            self._queue[0] = first[samples:]
            return first[:samples]
        if len(first) == samples:
            return self._queue.popleft()
        pcm = np.empty(samples, dtype=np.int16)
        filled = 0
        while filled < samples:
            piece = self._queue[0]
            count = min(len(piece), samples - filled)
            pcm[filled : filled + count] = piece[:count]
            filled += count
            if count == len(piece):
                self._queue.popleft()
            else:
                self._queue[0] = piece[count:]
        return pcm

    def _foresee_end(self, waiting: int) -> None:
        """Let the gain fall to zero with the last of the `waiting` samples, unless it does already."""
        if self._fade_out_at is None:
            self._fade_out_samples = min(FADE_SAMPLES, waiting)
            self._fade_out_at = self._position + waiting - self._fade_out_samples

    def _abandon_end(self) -> None:
        """More was written while the gain fell towards the end: let it rise again from where it is."""
        if self._fade_out_at is not None:
            fallen = max(self._position - self._fade_out_at, 0) / self._fade_out_samples
            self._fade_in_at = self._position - round((1 - fallen) * FADE_SAMPLES)
            self._fade_out_at = None

    def _envelope(self, start: int, samples: int) -> NDArray[np.float32] | None:
        """Gain of the samples from position `start` on; None where it is one throughout."""
        rises = start < self._fade_in_at + FADE_SAMPLES
        falls = self._fade_out_at is not None and start + samples > self._fade_out_at
        if not rises and not falls:
            return None
        offsets = np.arange(1, samples + 1)
        envelope = np.clip((offsets + (start - self._fade_in_at)) / FADE_SAMPLES, 0.0, 1.0)
        if self._fade_out_at is not None:
            fallen = (offsets + (start - self._fade_out_at)) / self._fade_out_samples
            envelope *= np.clip(1.0 - fallen, 0.0, 1.0)
        gains: NDArray[np.float32] = envelope.astype(np.float32)
        return gains

    def _shaped(self, pcm: Pcm, envelope: NDArray[np.float32] | None) -> Pcm:
        """A whole frame from samples and their gain, padded with zeros; the duck ramp runs over it."""
        if self._gain != self._target_gain:
            ramp = np.full(FRAME_SAMPLES, self._target_gain, dtype=np.float32)
            ramp[:FADE_SAMPLES] = np.linspace(self._gain, self._target_gain, FADE_SAMPLES, dtype=np.float32)
            ramp = ramp[: len(pcm)]
            envelope = ramp if envelope is None else envelope * ramp
            self._gain = self._target_gain
        elif self._gain != 1.0:
            gain = np.full(len(pcm), self._gain, dtype=np.float32)
            envelope = gain if envelope is None else envelope * gain
        if envelope is not None:
            pcm = _scaled(pcm, envelope)
        if len(pcm) == FRAME_SAMPLES:
            return pcm
        frame = np.zeros(FRAME_SAMPLES, dtype=np.int16)
        frame[: len(pcm)] = pcm
        return frame


def _scaled(pcm: Pcm, gain: NDArray[np.float32]) -> Pcm:
    return (pcm * gain).astype(np.int16)
