"""The 20 ms clock of a process: one timer for all calls."""

import asyncio
import logging
import time
from typing import Protocol

from media.audio_sender import Due, FrameClock
from media.phase_lock import EARLY_S, PhaseLock
from media.values import FRAME_S

logger = logging.getLogger(__name__)


class Paced(Protocol):
    """Who is called every 20 ms."""

    def tick(self, due: Due, now: float) -> None:
        """Send what is due.

        Args:
            due: frames to send now and frames of missed time to skip before them.
            now: `time.monotonic()`.
        """


class Pacer:
    """Calls its members every 20 ms of monotonic time; stops while it has none.

    Waking the process costs more than a frame of silence does. So the clock is brought into step with the packets that
    arrive (`woken`), and a frame that is all but due goes out in the same wake-up.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._members: dict[Paced, None] = {}
        self._clock = FrameClock()
        self._lock = PhaseLock(FRAME_S, 0.0)
        self._shifted = False
        self._timer: asyncio.TimerHandle | None = None

    def add(self, member: Paced) -> None:
        """Begin to call a member."""
        self._members[member] = None
        if self._timer is None:
            self._clock, self._lock = FrameClock(), PhaseLock(FRAME_S, time.monotonic())
            self._tick()

    def remove(self, member: Paced) -> None:
        """Call a member no more. Removing a stranger does nothing."""
        self._members.pop(member, None)
        if not self._members:
            self.close()

    def close(self) -> None:
        """Stop the timer."""
        self._members.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def woken(self, now: float) -> None:
        """Packets have just been read.

        Args:
            now: `time.monotonic()`.
        """
        if self._timer is None:
            return
        if self._clock.next_at - now <= EARLY_S:
            self._timer.cancel()
            self._tick()
        elif not self._shifted:
            self._shifted = True
            self._clock.shift(self._lock.shift(now, self._clock.next_at))

    def _tick(self) -> None:
        now = time.monotonic()
        due = self._clock.due(now, EARLY_S)
        self._shifted = False
        for member in tuple(self._members):
            try:
                member.tick(due, now)
            except Exception:
                # One broken call must not silence the others.
                logger.exception("a call failed in its 20 ms tick")
        if self._members:
            self._timer = self._loop.call_later(max(0.0, self._clock.next_at - time.monotonic()), self._tick)
