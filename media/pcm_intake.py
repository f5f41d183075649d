"""Plain samples from a stream that keeps no clock, brought onto one: 20 ms frames in real time, without gaps. Sans-I/O.

A microphone in a browser sends pieces of a few to a few hundred milliseconds, unevenly; a file is sent all at once; who
is muted sends nothing. The conversation is to hear each of them as it would hear a telephone.
"""

from collections import deque

import numpy as np

from media.audio_file import PcmStream
from media.values import FRAME_S, RECEIVE_RATE, AudioFrame, MediaError, Pcm

FRAME_SAMPLES = round(RECEIVE_RATE * FRAME_S)

LIVE_S = 0.4
"""A longer piece is no microphone's: of it no more than this is taken as said before it came."""

MARGIN_S = 0.06
"""A piece may come this much later than the one before it lets expect, until silence takes its place."""

LEAST_HOLD_S = 0.1

STALL_HOLD_S = 0.5
"""The same for a microphone: one that has kept real time so far and falls silent altogether has probably stalled."""

LIVE_AFTER_S = 1.0
"""Who has kept real time for so long is a microphone."""

BURST_S = 10.0
"""What a microphone sends at once behind a stall is handed on at once, up to so much; the rest in real time."""

BURST_WITHIN_S = 1.0
"""So long after a stall what comes faster than real time is what the stall held back."""

CATCH_UP_S = 0.5
"""After a stall of our own this much is made up for at once; the rest of the time is lost, what comes for it is not."""

CREEP = 0.01
"""What waits of a live stream is taken this much faster than real time, until nothing waits."""

ROUNDING_S = 1e-6
"""A frame that is due but for the rounding of sums is due."""

_SILENCE: Pcm = np.zeros(FRAME_SAMPLES, np.int16)


class IntakeFullError(MediaError):
    """The sender is too far ahead; nothing of what came was taken."""


class PcmIntake:
    """Takes bytes as they come, gives frames as they are due.

    Frames lie on a line in time that is laid down when the first piece comes: its end is now, so that what a live
    sender sends is handed on at once. What is sent ahead of real time waits for its turn. Where nothing comes, silence
    follows, but only after the longest pause that the sender's own pieces let expect, and for a microphone that has
    kept real time not before `STALL_HOLD_S`. What it then sends in a burst is handed on at once, in order and whole:
    the silence that had taken its place stays, as extra time.

    Args:
        rate: of what comes (s16le, mono), Hz.
        max_ahead_s: sound that may wait.

    Attributes:
        filled_s: silence that took the place of sound that did not come.
        silent_s: of that, what has come since the last sound.
    """

    def __init__(self, rate: int = RECEIVE_RATE, max_ahead_s: float = 60.0) -> None:
        self.filled_s = 0.0
        self.silent_s = 0.0
        self._bytes_per_s = rate * 2
        self._max_ahead_s = max_ahead_s
        self._stream = PcmStream(rate, RECEIVE_RATE, live=True)
        self._pieces: deque[memoryview] = deque()
        self._waiting = 0
        self._ready: Pcm = np.zeros(0, np.int16)
        # When the line begins; None before the first piece. The line's frames that have been given.
        self._origin: float | None = None
        self._given = 0
        self._hold_s = LEAST_HOLD_S
        self._ended = False
        self._last_at = float("-inf")
        # Since when the sender has kept real time (None while it is ahead of it), and when it last sent something.
        self._live_since: float | None = None
        self._fed_at = float("-inf")
        # Time that a stall took and that a burst may make up for, s, and until when.
        self._owed_s = 0.0
        self._owed_until = float("-inf")

    @property
    def waiting_s(self) -> float:
        """Sound that has come and is not due yet."""
        return self._waiting / self._bytes_per_s + len(self._ready) / RECEIVE_RATE

    def begin(self, now: float) -> None:
        """The stream stands: from now on silence counts."""
        if self._origin is None:
            self._origin = now

    def feed(self, data: bytes, now: float) -> None:
        """Take sound; a sample may be split between two pieces.

        Raises:
            IntakeFullError: it would be more than may wait.
        """
        piece_s = len(data) / self._bytes_per_s
        if self.waiting_s + piece_s > self._max_ahead_s:
            raise IntakeFullError(
                f"{self.waiting_s:.0f} s of audio wait to be heard already, and no more than {self._max_ahead_s:.0f} s "
                "may; send it about as fast as it was spoken"
            )
        said_s = min(piece_s, LIVE_S)
        if piece_s <= LIVE_S:
            self._hold_s = max(self._hold_s, piece_s + MARGIN_S)
        if self.silent_s or not self._given:
            self._begin_again(now - said_s, now)
        self._pieces.append(memoryview(data))
        self._waiting += len(data)
        self._make_up(now)
        self._fed_at = now
        if piece_s > LIVE_S or self._time() + self.waiting_s - now > LIVE_S:
            self._live_since = None
        elif self._live_since is None:
            self._live_since = now

    def end(self) -> None:
        """Nothing more comes: silence follows the last sound at once."""
        self._ended = True

    def due(self, now: float) -> list[AudioFrame]:
        """The frames that are due, oldest first."""
        if self._origin is None:
            return []
        hold_s = self._patience
        late = now - self._time() - hold_s - CATCH_UP_S
        if self._is_live:
            late -= self.waiting_s
        if late > 0:
            self._origin += late
            if self._is_live:
                self._owe(late, now)
        frames = []
        while self._time() + FRAME_S <= now + ROUNDING_S:
            pcm = self._sound()
            if pcm is None:
                if self._time() + FRAME_S > now - hold_s:
                    break
                pcm = self._silence()
            else:
                self.silent_s = 0.0
            self._given += 1
            self._last_at = max(self._last_at, self._time())
            frames.append(AudioFrame(pcm, self._last_at, False, self._time()))
        if 0 < self.waiting_s <= LIVE_S:
            self._origin -= FRAME_S * CREEP
        return frames

    def drain(self, now: float, most: int) -> list[AudioFrame]:
        """Frames of what waits, however early they are, oldest first; the line goes on behind them.

        Args:
            now: monotonic time.
            most: frames at once.
        """
        frames: list[AudioFrame] = []
        while len(frames) < most and (pcm := self._sound()) is not None:
            frames.append(AudioFrame(pcm, now, False, now))
        if frames:
            self._origin, self._given, self.silent_s = now, 0, 0.0
            self._last_at = now
        return frames

    def drop(self) -> None:
        """Forget what waits."""
        self._pieces.clear()
        self._waiting = 0
        self._ready = self._ready[:0]

    def _time(self) -> float:
        """Up to where frames have been given."""
        return (self._origin or 0.0) + self._given * FRAME_S

    @property
    def _patience(self) -> float:
        """How late a piece may be until silence takes its place, s."""
        if self._ended:
            return 0.0
        return max(self._hold_s, STALL_HOLD_S) if self._is_live else self._hold_s

    @property
    def _is_live(self) -> bool:
        return self._live_since is not None and self._fed_at - self._live_since >= LIVE_AFTER_S

    def _begin_again(self, said_at: float, now: float) -> None:
        """Sound after silence: what is left between the two is skipped, so that the sound ends when it came."""
        if self._origin is None or not self._given:
            self._origin = said_at
            return
        skipped = max(said_at - self._time(), 0.0)
        self._origin += skipped
        if self._is_live:
            self._owe(self.silent_s + skipped, now)

    def _owe(self, seconds: float, now: float) -> None:
        self._owed_s = min(self._owed_s + seconds, BURST_S)
        self._owed_until = now + BURST_WITHIN_S

    def _make_up(self, now: float) -> None:
        """What has come behind a stall, and would have to wait, takes the time that the stall took."""
        if self._origin is None or now > self._owed_until:
            self._owed_s = 0.0
            return
        ahead = min(self._time() + self.waiting_s - now, self._owed_s)
        if ahead > 0:
            self._origin -= ahead
            self._owed_s -= ahead

    def _sound(self) -> Pcm | None:
        """The next frame of sound; None where there is no whole one."""
        while len(self._ready) < FRAME_SAMPLES and self._pieces:
            fed = self._stream.feed(self._take(int(self._bytes_per_s * FRAME_S)))
            self._ready = np.concatenate((self._ready, fed))
        if len(self._ready) < FRAME_SAMPLES:
            return None
        pcm, self._ready = self._ready[:FRAME_SAMPLES], self._ready[FRAME_SAMPLES:]
        return pcm

    def _silence(self) -> Pcm:
        """A frame of silence, with what is left of a piece in front of it."""
        self.filled_s += FRAME_S
        self.silent_s += FRAME_S
        if not len(self._ready):
            return _SILENCE
        pcm = _SILENCE.copy()
        pcm[: len(self._ready)] = self._ready
        self._ready = self._ready[:0]
        return pcm

    def _take(self, count: int) -> bytes:
        piece = self._pieces.popleft()
        if len(piece) > count:
            self._pieces.appendleft(piece[count:])
            piece = piece[:count]
        self._waiting -= len(piece)
        return bytes(piece)
