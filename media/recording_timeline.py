"""Two sides of a call on one clock: what was heard and what was said, side by side as it happened. Sans-I/O."""

import numpy as np

from media.values import FRAME_S, Pcm

HEARD_JUMP_S = 0.3
"""What was heard is dated by its arrival, which networks delay: only beyond this is a gap a gap."""

SAID_JUMP_S = 0.08
"""What was said is dated by our own clock, which catches up bursts of three frames and skips what is more."""

SLACK_S = 0.06
"""How far a side may run off the clock without a jump: the two ends' clocks differ. More is put right."""

WINDOW = 100
"""Pieces over which that is judged, for each of them wobbles with the network."""

LAG_S = 10.5
"""How long a side may lag behind the other before it counts as silent: a stall holds back up to 10 s of audio, which
then come at once and belong where they were said."""


class Track:
    """One side: audio laid down where the clock says that it was.

    Args:
        rate: sample rate, Hz.
        jump_s: a piece that lies further than this from the end of what is there has silence before it, or comes late.
        doubt_s: for so long silence may turn out to have been sound that was held up.
    """

    def __init__(self, rate: int, jump_s: float, doubt_s: float = 0.0) -> None:
        self._rate = rate
        self._jump = jump_s * rate
        self._doubt_s = doubt_s
        self._silent_until = 0
        self._pieces: list[Pcm] = []
        self._start = 0
        self._end = 0
        self._offsets: list[int] = []

    @property
    def end_s(self) -> float:
        """Seconds from the beginning of the recording to the end of what was laid down."""
        return max(self._end, self._silent_until) / self._rate

    @property
    def certain_s(self) -> float:
        """The same to the end of what can change no more."""
        return max(self._end / self._rate, self._silent_until / self._rate - self._doubt_s)

    def add(self, pcm: Pcm, end_s: float) -> None:
        """Lay down a piece.

        Args:
            pcm: shape (n,).
            end_s: when its last sample was, in seconds from the beginning of the recording.
        """
        offset = round(end_s * self._rate) - len(pcm) - self._end
        if not pcm.any():
            # Silence needs no place of its own: what follows it is laid down where it was said.
            self._silent_until = max(self._silent_until, self._end + offset + len(pcm))
            return
        if self._silent_until <= self._end or offset < 0:
            # Silence can be stretched and cut to the clock, sound only where it must.
            offset = self._running_offset(offset)
        if offset > 0:
            self._append(np.zeros(offset, np.int16))
        # Below zero two connections overlap for a moment.
        self._append(pcm[max(-offset, 0) :])

    def _running_offset(self, offset: int) -> int:
        """By how many samples a piece is to be moved from where the last one ended: mostly by none."""
        if abs(offset) > self._jump:
            self._offsets.clear()
            return offset
        self._offsets.append(offset)
        if len(self._offsets) < WINDOW:
            return 0
        least, most = min(self._offsets), max(self._offsets)
        self._offsets.clear()
        slack = SLACK_S * self._rate
        return least if least > slack else most if most < -slack else 0

    def pad(self, end_s: float) -> None:
        """Silence up to a moment."""
        missing = round(end_s * self._rate) - self._end
        if missing > 0:
            self._append(np.zeros(missing, np.int16))

    def take(self, until_s: float) -> Pcm:
        """Remove and return what lies before a moment; it must have been laid down."""
        count = round(until_s * self._rate) - self._start
        pcm = np.concatenate(self._pieces) if self._pieces else np.zeros(0, np.int16)
        taken, rest = pcm[:count], pcm[count:]
        self._pieces = [rest] if len(rest) else []
        self._start += len(taken)
        return taken

    def _append(self, pcm: Pcm) -> None:
        if len(pcm):
            self._pieces.append(pcm)
            self._end += len(pcm)


class StereoTimeline:
    """Both sides.

    Args:
        began: `time.monotonic()` of the beginning.
        left_rate: sample rate of the left side, Hz.
        right_rate: of the right side.
    """

    def __init__(self, began: float, left_rate: int, right_rate: int) -> None:
        self.left = Track(left_rate, HEARD_JUMP_S, LAG_S)
        self.right = Track(right_rate, SAID_JUMP_S)
        self._began = began

    def add(self, track: Track, pcm: Pcm, at: float) -> None:
        """Lay down a piece of one side; `at` is the monotonic time of its last sample."""
        track.add(pcm, max(at - self._began, 0.0))

    def take(self, *, everything: bool = False) -> tuple[Pcm, Pcm]:
        """What is certain by now of both sides, equally long (whole frames of 20 ms); a side that lags is silent.

        Args:
            everything: the recording is over: what lies there is all that comes.
        """
        latest = max(self.left.end_s, self.right.end_s)
        certain = latest if everything else max(min(self.left.certain_s, self.right.certain_s), latest - LAG_S)
        frames = int(certain / FRAME_S + (0.999 if everything else 1e-6))
        until_s = frames * FRAME_S
        self.left.pad(until_s)
        self.right.pad(until_s)
        return self.left.take(until_s), self.right.take(until_s)
