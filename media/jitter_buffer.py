"""The jitter buffer: RTP packets back in order, and how long a missing one is worth waiting for."""

from media.intake_credit import BURST_S, IntakeCredit
from media.jitter_slots import Lost, Packet, Silence, Slot
from media.transit_window import LATE_S, START_TARGET_S, TransitWindow

DTX_WAIT_S = 0.06
"""After a DTX packet: how far beyond its expected time a missing one counts as silence."""

DTX_PAUSE_S = 0.5
"""So much silence may follow a DTX packet without another one (libopus sends one every 0.4 s); beyond it is a stall."""

_MAX_DROPOUT, _MAX_MISORDER = 3000, 1000  # RFC 3550 appendix A.1, which has 100; a burst of 10 s may be out of order
_MAX_EARLY_S, _MAX_LATE_S = 1.0, 10.0
_CONCEALED_FRAMES = 3
_DTX_PAYLOAD = 2
_TOLERANCE_S = 0.001


class JitterBuffer:
    """Adaptive jitter buffer for a listener that is no sound card: each packet is released once it is next in order.

    So without loss or reordering nothing is delayed, whatever the jitter. Behind a missing packet the others wait until
    it is `target_s` later than the fastest packets of the last 2 s would have been; then it is lost. While nothing
    comes at all, nothing is let out, but for the silence behind a DTX packet: what a stall held back follows whole and
    in order when it comes, dated as if it had come in time. What it swallowed is filled then. Audio is taken as fast as
    time passes and 5 % faster, plus what a stall may have held back (`IntakeCredit`). What comes beyond that, or beyond
    `capacity` packets, is discarded. Sans-I/O.

    Args:
        clock_rate: RTP ticks per second.
        capacity: most packets held.
    """

    def __init__(self, clock_rate: int = 48_000, capacity: int = 1024) -> None:
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
        self._credit = IntakeCredit()
        self._transits = TransitWindow()
        self._waiting: dict[int, Packet] = {}
        self._missing: dict[int, None] = {}
        self._synchronised = False
        self._restarting = False
        self._suspect: Packet | None = None
        self._owed = 0
        self._pause: int | None = None
        self._next_sequence = self._next_timestamp = self._furthest = 0
        self._highest_sequence = 0
        self._clear()

    def restart(self) -> None:
        """Say that the next packet belongs to another stream; counters stay."""
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
        self._dtx, self._pause = True, None

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
            if duration:
                packet = Packet(sequence_number, timestamp, payload, duration, now)
                self._synchronise(packet)
                self._hold(packet)
            return
        sequence = self._highest_sequence + _signed(sequence_number - self._highest_sequence, 16)
        unwrapped = self._next_timestamp + _signed(timestamp - self._next_timestamp, 32)
        packet = Packet(sequence, unwrapped, payload, duration, now)
        transit = now - unwrapped / self._rate
        if self._is_suspicious(packet, transit):
            self._judge_suspect(packet)
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
        elif duration and self._transits.stays_late(now, transit):
            self._follow(packet, transit)
            return
        elif duration and unwrapped + duration <= self._next_timestamp:
            self.discarded += 1
            self._give_up_to(sequence)
            self._next_sequence = max(self._next_sequence, sequence + 1)
        elif not self._hold(packet):
            return
        if duration and not self._transits.is_late(transit):
            self._transits.add(transit)

    def pop(self, now: float) -> list[Slot]:
        """Everything that is due by now, in order and without gaps. Call after each push and every 20 ms."""
        slots: list[Slot] = []
        while self._synchronised and self._advance(now, slots):
            pass
        return slots

    # Taking packets in.

    def _synchronise(self, packet: Packet) -> None:
        """Let the stream (re)start at a packet. Time that the old one had not yet filled is owed as silence."""
        if self._synchronised:
            self._owe(packet.at - self._expected_at(self._next_timestamp + self._filled))
        self.discarded += len(self._waiting)
        self._clear()
        self._synchronised = True
        self._restarting = False
        self._next_sequence = self._highest_sequence = packet.sequence
        self._next_timestamp = self._furthest = packet.timestamp
        self._transits.add(packet.at - packet.timestamp / self._rate)

    def _clear(self) -> None:
        self._waiting.clear()
        self._missing.clear()
        self._transits.clear()
        self._frame = self._tick_frame
        self._dtx = False
        self._pause = round(DTX_PAUSE_S * self._rate)
        self._filled = 0  # ticks behind `_next_timestamp` that were let out as silence by the clock
        self._concealed = 0

    def _owe(self, seconds: float) -> None:
        """Time has passed that no packet accounts for."""
        owed = round(min(max(seconds, 0.0), BURST_S) * self._rate)
        self._owed += owed
        self._credit.spend(owed / self._rate)

    def _hold(self, packet: Packet) -> bool:
        """Keep a packet for its turn, unless the sender floods: with packets, or with more audio than time passes."""
        if not self._credit.grants(packet.at) or len(self._waiting) >= self._capacity:
            self.discarded += 1
            return False
        end = packet.timestamp + packet.duration
        more = max(end - max(self._next_timestamp, self._furthest), 0) if packet.duration else 0
        if more:
            self._furthest = end
        self._credit.spend(more / self._rate)
        self._waiting[packet.sequence] = packet
        return True

    def _is_suspicious(self, packet: Packet, transit: float) -> bool:
        """Whether a packet does not fit the stream: a restarted sender, or a stray."""
        jump = packet.sequence - self._highest_sequence
        if jump > _MAX_DROPOUT or jump < -_MAX_MISORDER:
            return True
        if not packet.duration:
            return False
        if packet.sequence < self._next_sequence and packet.timestamp >= self._next_timestamp:
            return True
        ahead = self._transits.fastest - transit
        return ahead > _MAX_EARLY_S or ahead < -_MAX_LATE_S

    def _judge_suspect(self, packet: Packet) -> None:
        """Two suspicious packets in sequence are a new stream, one alone is a stray (RFC 3550 appendix A.1)."""
        before, self._suspect = self._suspect, None
        if before is not None and packet.sequence - before.sequence in (1, 1 - 65536) and before.duration:
            self._synchronise(before)
            self._hold(before)
            sequence_number, timestamp = packet.sequence & 0xFFFF, packet.timestamp & 0xFFFFFFFF
            self.push(sequence_number, timestamp, packet.payload, packet.duration, packet.at)
            return
        if before is not None:
            self.discarded += 1
        self._suspect = packet

    def _follow(self, packet: Packet, transit: float) -> None:
        """The stream is later for good: the time by which it is counts as missing."""
        if packet.timestamp + packet.duration <= self._next_timestamp:
            # Not later: its clock was set back.
            self._synchronise(packet)
            self._hold(packet)
            return
        self._owe(transit - self._transits.fastest - self._filled / self._rate)
        self._filled = 0
        self._transits.clear()
        self._transits.add(transit)
        self._hold(packet)

    # Letting them out.

    def _advance(self, now: float, slots: list[Slot]) -> bool:
        """Make one step; False when nothing is due."""
        if self._owed:
            slots.append(Silence(self._owed, now, missing=True))
            self._owed = 0
            return True
        packet = self._waiting.pop(self._next_sequence, None)
        if packet is not None:
            self._ready_at = max(self._ready_at, packet.at)
            self._release(packet, now, slots)
            return True
        if not self._waiting:
            return self._fill(now, slots)
        first = min(self._waiting)
        if first < self._next_sequence:
            # A late packet further on has moved the stream past it.
            self.discarded += 1 if self._waiting.pop(first).duration else 0
            return True
        return self._pass_hole(self._waiting[first], now, slots)

    def _release(self, packet: Packet, now: float, slots: list[Slot]) -> None:
        self._next_sequence += 1
        if not packet.duration:
            return
        gap = self._use_filled(packet.timestamp)
        if gap > 0:
            # Without a DTX packet before it, the sender did not choose to be silent.
            slots.append(self._silence(gap, now, missing=not self._dtx))
        skip = max(-gap, 0)
        if skip >= packet.duration:
            self.discarded += 1
            return
        slots.append(self._dated(packet, skip))
        self._next_timestamp = packet.timestamp + packet.duration
        behind = round((now - self._expected_at(self._next_timestamp)) * self._rate)
        self._filled = min(self._filled, max(behind, 0))
        self._delay_s += (self._ready_at - packet.at - self._delay_s) / 16
        self._frame = packet.duration
        self._dtx, self._pause = len(packet.payload) <= _DTX_PAYLOAD, round(DTX_PAUSE_S * self._rate)
        self._concealed = 0

    def _dated(self, packet: Packet, skip: int) -> Packet:
        """A packet as it goes out: without `skip` ticks, and as of when it had come without a stall that held it up."""
        sequence, timestamp, payload, duration, at, _ = packet
        due = self._expected_at(timestamp)
        held_up = at - due > LATE_S
        if not held_up and not skip:
            return packet
        at = min(at, due + self._transits.target) if held_up else at
        return Packet(sequence, timestamp, payload, duration - skip, at, skip)

    def _use_filled(self, timestamp: int) -> int:
        """How much lies between what was let out and a timestamp, ticks; silence that the clock let out is in it."""
        filled = min(self._filled, max(timestamp - self._next_timestamp, 0))
        self._next_timestamp += filled
        self._filled -= filled
        return timestamp - self._next_timestamp

    def _pass_hole(self, behind: Packet, now: float, slots: list[Slot]) -> bool:
        """Give up the next missing packet when its time has passed; `behind` is the first one after the hole."""
        gap = behind.timestamp - self._next_timestamp
        if behind.duration and gap <= 0:
            self._give_up_to(behind.sequence)
            return True
        if now + _TOLERANCE_S < self._hole_closes_at():
            return False
        self._ready_at = now
        if not behind.duration:
            self._give_up_to(behind.sequence)
            return True
        gap = self._use_filled(behind.timestamp)
        if gap > 0:
            self._fill_hole(behind, gap, now, slots)
        return True

    def _hole_closes_at(self) -> float:
        """Until when the next missing packet is waited for.

        Where those behind it were held up by a stall, it was too: then the time counts from the first that came.
        """
        first = next(iter(self._waiting.values()))
        due = self._expected_at(self._next_timestamp)
        held_up = first.at - self._expected_at(first.timestamp) > LATE_S
        return first.at + START_TARGET_S if held_up else due + self._transits.target

    def _fill_hole(self, behind: Packet, gap: int, now: float, slots: list[Slot]) -> None:
        """Let something out for a missing packet: concealment first, and silence for what a long stall swallowed.

        Args:
            behind: the first packet after the hole.
            gap: ticks that are missing.
            now: monotonic, s.
            slots: where to put it.
        """
        missing = behind.sequence - self._next_sequence
        frame = self._frame
        if not self._dtx and gap // missing <= self._max_packet:
            frame = max(frame, gap // missing)
        if gap > missing * frame:
            # More time than the missing packets can fill: the sender was silent for the rest of it.
            slots.append(self._silence(gap - missing * frame, now))
            return
        duration = min(frame, gap)
        adjacent = duration == gap
        if not adjacent and self._concealed >= _CONCEALED_FRAMES:
            slots.append(self._silence(gap - duration, now, missing=True))
            self._give_up_to(behind.sequence - 1)
            return
        self._concealed += 1
        at = min(now, self._expected_at(self._next_timestamp))
        slots.append(Lost(duration, behind.payload if adjacent else None, at))
        self._next_timestamp += duration
        self._give_up_to(behind.sequence if adjacent else self._next_sequence + 1)

    def _fill(self, now: float, slots: list[Slot]) -> bool:
        """Nothing is there. Behind a DTX packet that is silence; else it is a stall, which says nothing."""
        if not self._dtx or (self._pause is not None and self._filled >= self._pause):
            return False
        at = self._expected_at(self._next_timestamp + self._filled)
        overdue = now - at - max(DTX_WAIT_S, self._transits.target)
        if overdue < 0:
            return False
        if overdue > BURST_S:
            # The past is not worth making up: `pop` was not called for that long.
            self._filled += int((overdue - BURST_S) * self._rate)
        self._credit.spend(self._tick_frame / self._rate)
        self._filled += self._tick_frame
        slots.append(Silence(self._tick_frame, min(now, at + (self._tick_frame - self._frame) / self._rate)))
        return True

    def _silence(self, duration: int, now: float, *, missing: bool = False) -> Silence:
        """Silence up to a known timestamp; of a longer one than `BURST_S` only so much is made up."""
        self._next_timestamp += duration
        at = min(now, self._expected_at(self._next_timestamp - self._frame))
        return Silence(min(duration, round(BURST_S * self._rate)), at, missing)

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
