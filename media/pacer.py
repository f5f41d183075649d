"""The 20 ms clock of a process: one timer for all calls."""

import asyncio
import logging
import time
from typing import Protocol

from media.audio_sender import Due, FrameClock
from media.phase_lock import EARLY_S, PhaseLock
from media.upstream.event_loop import Appointment, call_punctually
from media.values import FRAME_S

logger = logging.getLogger(__name__)

REST_FRAMES = 2
"""Frames from one tick to the next while all members rest."""

TICKS_UNREAD = 1
"""Such ticks that go by before one at which packets are read. A wake-up finds the processor's caches cold: the first
packet costs four times what those behind it do."""

FEW = 8
"""Members up to which that is so; of more, packets might not all fit into what the kernel keeps."""


class Paced(Protocol):
    """Who is called every 20 ms."""

    @property
    def resting(self) -> bool:
        """Whether 40 ms may pass until the next tick: nothing is being said, or about to be, or being set up."""

    def tick(self, due: Due, now: float, read: bool) -> None:
        """Send what is due, and take what is there.

        Args:
            due: frames to send now and frames of missed time to skip before them.
            now: `time.monotonic()`.
            read: whether all packets that have come by now have been read.
        """

    def fail(self, error: Exception) -> None:
        """`tick` or `resting` raised: it is called no more, and has to end. Must not raise."""


class Source(Protocol):
    """Where packets come from, such as a `media.udp_port.UdpPort`."""

    def hold(self, held: bool) -> None:
        """Leave packets with the kernel until `read`, or again wake the loop for each."""

    def read(self) -> None:
        """Take what has come."""


class Pacer:
    """Calls its members every 20 ms of monotonic time; stops while it has none, and for no other reason.

    A member that raises is told (`Paced.fail`) and left out from then on; whatever else raises in a tick, the source of
    the packets included, is logged and counted, and the next tick comes in time.

    Waking the process costs more than a frame of silence does. So the clock is brought into step with the packets that
    arrive (`woken`), and a frame that is all but due goes out in the same wake-up. While all members rest, packets wait
    for the clock, which then ticks every 40 ms and has them read at every other tick.

    Sound that has just been written waits for its frame like any other. Sent at once, ahead of the grid, it would be
    heard no sooner: a jitter buffer plays by timestamps. It would take the frame for early and those behind it for
    late, and keep more from then on (Chromium, from writing to sound, `morgan bench page-sound`: 80 to 88 ms in place
    of 66).

    Args:
        source: of the packets that are to wait.

    Attributes:
        failures: ticks in which something raised, of one member or of the clock itself.
        late: ticks that came more than a frame after their time: something held the loop, or the processor.
        latest_s: the latest of all.
    """

    def __init__(self, source: Source | None = None) -> None:
        self.failures = 0
        self.late = 0
        self.latest_s = 0.0
        self._source = source
        self._held = False
        self._unread = 0
        self._loop = asyncio.get_running_loop()
        self._members: dict[Paced, None] = {}
        self._clock = FrameClock()
        self._lock = PhaseLock(FRAME_S, 0.0)
        self._shifted = False
        self._timer: Appointment | None = None
        self._reading = False
        self._planned_at = float("inf")

    def add(self, member: Paced) -> None:
        """Begin to call a member."""
        self._members[member] = None
        self._hold(False)
        if self._timer is None:
            self._clock, self._lock = FrameClock(), PhaseLock(FRAME_S, time.monotonic())
            self._planned_at = float("inf")
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
        self._hold(False)

    def woken(self, now: float) -> None:
        """Packets have just been read.

        Args:
            now: `time.monotonic()`.
        """
        if self._timer is None or self._held or self._reading:
            return
        if self._clock.next_at - now <= EARLY_S:
            self._timer.cancel()
            self._tick()
        elif not self._shifted:
            self._shifted = True
            self._clock.shift(self._lock.shift(now, self._clock.next_at))

    def _tick(self, in_pass: bool = False) -> None:
        """Tick and plan the next.

        Args:
            in_pass: whether a pass of the loop was interrupted, which has not yet come to the packets.
        """
        resting = False
        try:
            resting = self._turn(in_pass)
        except Exception:
            self.failures += 1
            logger.exception("the 20 ms clock failed in a tick")
        finally:
            self._arm(resting)

    def _turn(self, in_pass: bool) -> bool:
        """Do what is due; returns whether all members rest."""
        read = not self._held or self._unread >= TICKS_UNREAD or len(self._members) > FEW
        self._unread = 0 if read else self._unread + 1
        if read and (self._held or in_pass):
            self._read()
        now = time.monotonic()
        self._note_lateness(now - self._planned_at)
        due = self._clock.due(now, EARLY_S)
        self._shifted = False
        resting = True
        for member in tuple(self._members):
            try:
                member.tick(due, now, read)
                resting = member.resting and resting
            except Exception as error:
                self._leave_out(member, error)
        self._hold(resting and bool(self._members))
        return resting

    def _note_lateness(self, late_s: float) -> None:
        self.latest_s = max(self.latest_s, late_s)
        if late_s > FRAME_S:
            self.late += 1

    def _read(self) -> None:
        self._reading = True
        try:
            if self._source is not None:
                self._source.read()
        except Exception:
            self.failures += 1
            logger.exception("packets could not be read; the members tick without them")
        finally:
            self._reading = False

    def _leave_out(self, member: Paced, error: Exception) -> None:
        """One broken call must neither silence the others nor be tried again and again."""
        self.failures += 1
        logger.error("a call failed in its 20 ms tick", exc_info=error)
        self._members.pop(member, None)
        member.fail(error)

    def _arm(self, resting: bool) -> None:
        """Tick again when the next frame is due, unless no member is left. There is never more than one timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._members:
            self._planned_at = self._clock.next_at + (REST_FRAMES - 1) * FRAME_S * resting
            self._timer = call_punctually(self._loop, self._planned_at, self._tick)

    def _hold(self, held: bool) -> None:
        if held is not self._held and self._source is not None:
            self._held = held
            self._source.hold(held)
