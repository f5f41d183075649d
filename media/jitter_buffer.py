"""Puts RTP packets back into order and decides how long a missing one is worth waiting for."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from media.transit_window import TransitWindow

DTX_WAIT_S = 0.06
"""After a DTX packet: how far beyond its expected time a missing one counts as silence."""

STALL_WAIT_S = 0.12
"""In speech: how far beyond its expected time a missing packet, with none behind it, is concealed.

Longer than `DTX_WAIT_S` because nobody plays this audio: waiting costs nothing while a stall lasts, and what comes
within that time is kept.
"""

_MAX_DROPOUT, _MAX_MISORDER = 3000, 100  # RFC 3550 appendix A.1
_MAX_EARLY_S, _MAX_LATE_S = 1.0, 10.0
_MAX_FILL_S = 5.0
_MAX_CREDIT_S = 3.0
_CONCEALED_FRAMES = 3
_DTX_PAYLOAD = 2
_TOLERANCE_S = 0.001


class Packet(NamedTuple):
    """Audio that came.

    Attributes:
        payload: what to decode.
        duration: length in clock ticks, less `skip`.
        skip: ticks at its start whose place has been filled already; decode all and drop these.
        at: arrival time, s.
    """

    payload: bytes
    duration: int
    skip: int
    at: float


class Lost(NamedTuple):
    """Audio that has not come in time.

    Attributes:
        duration: length in clock ticks.
        next_payload: the packet right behind, for its redundancy; None when it is not there.
        at: when it should have arrived, s.
    """

    duration: int
    next_payload: bytes | None
    at: float


class Silence(NamedTuple):
    """Audio that the sender did not send (DTX): a gap of timestamps without a gap of sequence numbers.

    Attributes:
        duration: length in clock ticks.
        at: when its end should have arrived, s.
    """

    duration: int
    at: float


Slot: TypeAlias = Packet | Lost | Silence


class _Arrival(NamedTuple):
    """A packet with its unwrapped sequence number and timestamp."""

    sequence: int
    timestamp: int
    payload: bytes
    duration: int
    at: float


@dataclass(slots=True)
class _LateStreak:
    """Packets in a row that all came too late."""

    since: float
    transit: float
    count: int


class JitterBuffer:
    """Adaptive jitter buffer for a listener that is no sound card: each packet is released once it is next in order.

    So without loss or reordering nothing is delayed, whatever the jitter. Behind a missing packet the others wait until
    it is `target_s` later than the fastest packets of the last 2 s would have been; then it is lost. While nothing
    comes at all, concealment and silence come out by the clock, and what arrives for the time so filled is discarded,
    so that the audio never falls behind real time. Holds at most `capacity` packets, what comes beyond is discarded;
    so is audio that comes faster than real time for more than 3 s. Sans-I/O.

    Args:
        clock_rate: RTP ticks per second.
        capacity: most packets held.
    """

    def __init__(self, clock_rate: int = 48_000, capacity: int = 128) -> None:
        self._rate = clock_rate
        self._capacity = capacity
        self._tick_frame = clock_rate // 50
        self._max_packet = clock_rate * 12 // 100
        self.lost = 0
        """Packets that never came (or came after they were given up)."""
        self.discarded = 0
        """Packets that came twice, too late, or beyond the capacity."""
        self._delay_s = 0.0
        self._ready_at = float("-inf")  # when the last packet let out could have been
        self._credit_s = _MAX_CREDIT_S
        self._credited_at: float | None = None
        self._transits = TransitWindow()
        self._waiting: dict[int, _Arrival] = {}
        self._missing: dict[int, None] = {}
        self._synchronised = False
        self._restarting = False
        self._suspect: _Arrival | None = None
        self._late: _LateStreak | None = None
        self._owed = 0
        self._next_sequence = self._next_timestamp = self._furthest = 0
        self._highest_sequence = 0
        self._clear()

    def restart(self) -> None:
        """Say that the next packet belongs to another stream. Until it comes the clock goes on; counters stay."""
        self._restarting = True
        self._suspect = None

    @property
    def target_s(self) -> float:
        """How long a missing packet is waited for, in seconds behind the fastest ones."""
        return self._transits.target

    @property
    def delay_s(self) -> float:
        """Mean time that the last packets (about 16) had to wait for others, in seconds."""
        return self._delay_s

    def expect_silence(self) -> None:
        """Say that the sender has announced silence: what does not come from now on is silence, not loss."""
        self._dtx = True

    def push(self, sequence_number: int, timestamp: int, payload: bytes, duration: int, now: float) -> None:
        """Take a packet.

        Args:
            sequence_number: 16 bit, wraps.
            timestamp: 32 bit, wraps.
            payload: handed through.
            duration: of its audio, in ticks; 0 for a packet that carries none but takes a sequence number.
            now: arrival, s.
        """
        if not self._synchronised or self._restarting:
            arrival = _Arrival(sequence_number, timestamp, payload, duration, now)
            if duration:
                self._synchronise(arrival)
                self._hold(arrival)
            return
        sequence = self._highest_sequence + _signed(sequence_number - self._highest_sequence, 16)
        unwrapped = self._next_timestamp + _signed(timestamp - self._next_timestamp, 32)
        arrival = _Arrival(sequence, unwrapped, payload, duration, now)
        transit = now - unwrapped / self._rate
        if self._is_suspicious(arrival, transit):
            self._judge_suspect(arrival)
            return
        if self._suspect is not None:
            self._suspect = None
            self.discarded += 1
        self._highest_sequence = max(self._highest_sequence, sequence)
        if sequence in self._waiting or (sequence < self._next_sequence and sequence not in self._missing):
            self.discarded += 1
            return
        if sequence < self._next_sequence:
            del self._missing[sequence]
            self.lost -= 1
            self.discarded += 1
        elif duration and unwrapped + duration <= self._next_timestamp:
            self._take_late(arrival, transit)
        else:
            self._late = None
            if not self._hold(arrival):
                return
        if duration:
            self._transits.add(transit)

    def pop(self, now: float) -> list[Slot]:
        """Everything that is due by now, in order and without gaps. Call after each push and every 20 ms."""
        slots: list[Slot] = []
        while self._synchronised and self._advance(now, slots):
            pass
        return slots

    # Taking packets in.

    def _synchronise(self, arrival: _Arrival) -> None:
        """Let the stream (re)start at a packet. Time that the old one had not yet filled is owed as silence."""
        if self._synchronised:
            owed = round((arrival.at - self._transits.fastest) * self._rate) - self._next_timestamp
            self._owed = min(max(owed, 0), self._rate)
            self._credit_s -= self._owed / self._rate
        self.discarded += len(self._waiting)
        self._clear()
        self._synchronised = True
        self._restarting = False
        self._next_sequence = self._highest_sequence = arrival.sequence
        self._next_timestamp = self._furthest = arrival.timestamp
        self._transits.add(arrival.at - arrival.timestamp / self._rate)

    def _clear(self) -> None:
        self._waiting.clear()
        self._missing.clear()
        self._transits.clear()
        self._late = None
        self._frame = self._tick_frame
        self._dtx = False
        self._concealed = 0

    def _hold(self, arrival: _Arrival) -> bool:
        """Keep a packet for its turn, unless the sender floods: with packets, or with more audio than time passes."""
        if self._credited_at is not None:
            self._credit_s = min(_MAX_CREDIT_S, self._credit_s + 1.05 * (arrival.at - self._credited_at))
        self._credited_at = arrival.at
        if len(self._waiting) >= self._capacity or self._credit_s <= 0:
            self.discarded += 1
            return False
        end = arrival.timestamp + arrival.duration
        known = max(self._next_timestamp, self._furthest)
        if arrival.duration and end > known:
            self._credit_s -= (end - known) / self._rate
            self._furthest = end
        self._waiting[arrival.sequence] = arrival
        return True

    def _is_suspicious(self, arrival: _Arrival, transit: float) -> bool:
        """Whether a packet does not fit the stream: a restarted sender, or a stray."""
        jump = arrival.sequence - self._highest_sequence
        if jump > _MAX_DROPOUT or jump < -_MAX_MISORDER:
            return True
        if not arrival.duration:
            return False
        if arrival.sequence < self._next_sequence and arrival.timestamp >= self._next_timestamp:
            return True
        ahead = self._transits.fastest - transit
        return ahead > _MAX_EARLY_S or ahead < -_MAX_LATE_S

    def _judge_suspect(self, arrival: _Arrival) -> None:
        """Two suspicious packets in sequence are a new stream, one alone is a stray (RFC 3550 appendix A.1)."""
        before, self._suspect = self._suspect, None
        if before is not None and arrival.sequence - before.sequence in (1, 1 - 65536) and before.duration:
            self._synchronise(before)
            self._hold(before)
            sequence_number, timestamp = arrival.sequence & 0xFFFF, arrival.timestamp & 0xFFFFFFFF
            self.push(sequence_number, timestamp, arrival.payload, arrival.duration, arrival.at)
            return
        if before is not None:
            self.discarded += 1
        self._suspect = arrival

    def _take_late(self, arrival: _Arrival, transit: float) -> None:
        """Discard a packet whose time has been filled, unless the stream has become later for good.

        It has when late packets keep coming at their own pace: the path got longer, or the sender's clock stood still
        for a while. After a mere stall they come faster than real time, so their transit times fall.
        """
        if self._late is None:
            self._late = _LateStreak(arrival.at, transit, 0)
        self._late.count += 1
        span = arrival.at - self._late.since
        if self._late.count >= 3 and span >= 0.03 and transit > self._late.transit - span / 2:
            self._synchronise(arrival)
            self._hold(arrival)
            return
        self.discarded += 1
        self._give_up_to(arrival.sequence)
        self._next_sequence = max(self._next_sequence, arrival.sequence + 1)

    # Letting them out.

    def _advance(self, now: float, slots: list[Slot]) -> bool:
        """Make one step; False when nothing is due."""
        if self._owed:
            slots.append(Silence(self._owed, now))
            self._owed = 0
            return True
        arrival = self._waiting.pop(self._next_sequence, None)
        if arrival is not None:
            self._ready_at = max(self._ready_at, arrival.at)
            self._release(arrival, now, slots)
            return True
        if not self._waiting:
            return self._fill(now, slots)
        first = min(self._waiting)
        if first < self._next_sequence:
            # A late packet further on has moved the stream past it.
            self.discarded += 1 if self._waiting.pop(first).duration else 0
            return True
        return self._pass_hole(self._waiting[first], now, slots)

    def _release(self, arrival: _Arrival, now: float, slots: list[Slot]) -> None:
        self._next_sequence += 1
        if not arrival.duration:
            return
        gap = arrival.timestamp - self._next_timestamp
        if gap > 0:
            slots.append(self._silence(gap, now))
        skip = max(-gap, 0)
        if skip >= arrival.duration:
            self.discarded += 1
            return
        slots.append(Packet(arrival.payload, arrival.duration - skip, skip, arrival.at))
        self._next_timestamp = arrival.timestamp + arrival.duration
        self._delay_s += (self._ready_at - arrival.at - self._delay_s) / 16
        self._frame = arrival.duration
        self._dtx = len(arrival.payload) <= _DTX_PAYLOAD
        self._concealed = 0

    def _pass_hole(self, behind: _Arrival, now: float, slots: list[Slot]) -> bool:
        """Give up the next missing packet when its time has passed; `behind` is the first one after the hole."""
        gap = behind.timestamp - self._next_timestamp
        if behind.duration and gap <= 0:
            self._give_up_to(behind.sequence)
            return True
        if now + _TOLERANCE_S < self._expected_at(self._next_timestamp) + self._transits.target:
            return False
        self._ready_at = now
        if not behind.duration:
            self._give_up_to(behind.sequence)
            return True
        missing = behind.sequence - self._next_sequence
        frame = self._frame
        if not self._dtx and gap // missing <= self._max_packet:
            frame = max(frame, gap // missing)
        if gap > missing * frame:
            # More time than the missing packets can fill: the sender was silent for the rest of it.
            slots.append(self._silence(gap - missing * frame, now))
            return True
        duration = min(frame, gap)
        adjacent = duration == gap
        at = min(now, self._expected_at(self._next_timestamp))
        slots.append(Lost(duration, behind.payload if adjacent else None, at))
        self._next_timestamp += duration
        self._give_up_to(behind.sequence if adjacent else self._next_sequence + 1)
        return True

    def _fill(self, now: float, slots: list[Slot]) -> bool:
        """Nothing is there: go on by the clock, with a little concealment and then silence."""
        wait = max(DTX_WAIT_S, self._transits.target) if self._dtx else STALL_WAIT_S
        overdue = now - self._expected_at(self._next_timestamp) - wait
        if overdue < 0:
            return False
        if overdue > _MAX_FILL_S:
            # Nobody asked for that long; the past is not worth making up.
            self._next_timestamp += int((overdue - _MAX_FILL_S) * self._rate)
        self._credit_s -= self._tick_frame / self._rate
        if self._dtx or self._concealed >= _CONCEALED_FRAMES:
            slots.append(self._silence(self._tick_frame, now))
            return True
        self._concealed += 1
        slots.append(Lost(self._tick_frame, None, min(now, self._expected_at(self._next_timestamp))))
        self._next_timestamp += self._tick_frame
        return True

    def _silence(self, duration: int, now: float) -> Silence:
        self._next_timestamp += duration
        return Silence(duration, min(now, self._expected_at(self._next_timestamp - self._frame)))

    def _give_up_to(self, sequence: int) -> None:
        """Count the packets before `sequence` as lost."""
        for missing in range(self._next_sequence, sequence):
            self._missing[missing] = None
            self.lost += 1
            if len(self._missing) > _MAX_MISORDER:
                del self._missing[next(iter(self._missing))]
        self._next_sequence = max(self._next_sequence, sequence)

    def _expected_at(self, timestamp: int) -> float:
        """When a packet that starts at `timestamp` would have come at the fastest."""
        return self._transits.fastest + timestamp / self._rate


def _signed(difference: int, bits: int) -> int:
    """The shortest way from one number to another on a circle of 2 ** bits."""
    half = 1 << (bits - 1)
    return ((difference + half) & ((1 << bits) - 1)) - half
