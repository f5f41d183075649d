"""The line of a call that a telephone bridge brings, whatever the bridge speaks."""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Protocol

from media.audio_sender import Due
from media.pacer import Pacer
from media.pcm_intake import IntakeFullError
from media.pcm_link import PcmLink
from media.peer import WebRtcPeer
from media.telephone_band import WireEncoder, WireFormat, to_linear
from media.values import FRAME_S, Pcm, Speaker
from persistence.values import SessionKind
from pipeline.call.actor import BROKEN
from pipeline.call.events import CallEvent, PlaybackCleared, PlaybackStarted, PlaybackStopped, ReplyDone
from pipeline.call.inputs import KeyPressed, StopReply
from pipeline.call.state import State
from server.calls.call import Call
from server.http.errors import ApiError
from server.telephone.follow_ups import FollowUps
from server.telephone.keys import KeyReader
from server.telephone.marks import MarkBook

IDLE_S = 300.0
"""A call in which nobody says or presses anything for so long is ended."""

FAR_END_S = 0.06
"""What a bridge and a telephone buffer, about, until a mark tells."""

LAST_WORD_S = 3.0
"""A line that is to be left waits so long at most for the mark behind its last word."""


class Carrier(Protocol):
    """The way to a bridge.

    Attributes:
        wire: how sound goes out.
        lead_frames: of it, ahead of real time.
        marks: whether the bridge says when a mark has been played.
    """

    wire: WireFormat
    lead_frames: int
    marks: bool

    def media(self, data: bytes) -> bool:
        """Send sound; False when the bridge does not read what it is sent."""

    def mark(self, name: str) -> bool:
        """Send a mark; False as for `media`."""

    def clear(self) -> None:
        """Throw away what the bridge has not played yet, and what waits to be sent."""

    async def close(self, reason: str) -> None:
        """The call is over: say goodbye and free everything."""


class TelephoneLine:
    """Implements `server.calls.line.Line`, `server.telephone.tools.Leavable` and `Paced`.

    Args:
        call: that is on this line.
        carrier: to the bridge.
        pacer: the clock of all calls.
        wire: how sound comes in.
        bridge_id: by which the bridge knows the call.
        follow_ups: where it is told what comes next.

    Attributes:
        link: the audio.
        keys: that tools wait for.
    """

    kind: SessionKind = "telephone"

    def __init__(
        self,
        call: Call,
        carrier: Carrier,
        pacer: Pacer,
        wire: WireFormat,
        bridge_id: str,
        follow_ups: FollowUps,
    ) -> None:
        now = time.monotonic()
        self.link = PcmLink(
            call, self._say, asyncio.get_running_loop().call_soon, now, wire.rate, call.recording, carrier.lead_frames
        )
        self.keys = KeyReader()
        self._call = call
        self._carrier = carrier
        self._pacer = pacer
        self._wire = wire
        self._bridge_id = bridge_id
        self._follow_ups = follow_ups
        self._active_at = now
        self._encoder = WireEncoder(carrier.wire)
        self._marks = MarkBook()
        self._sounding = False
        self._to_mark = False
        self._far_end_s = FAR_END_S
        # Why the line is to be left, once the reply in hand was heard; then what is waited for, and until when.
        self._leaving: str | None = None
        self._last_mark = ""
        self._leaves_at: float | None = None

    def open(self) -> None:
        """The line stands: sound flows from now on."""
        self._call.on_connected()
        self._pacer.add(self)

    # From the bridge -------------------------------------------------------------------------------------------------

    def hear(self, data: bytes) -> None:
        """Sound came.

        Raises:
            ApiError: 413, too far ahead of real time; nothing of it was taken.
        """
        try:
            self.link.receive(to_linear(data, self._wire.encoding), time.monotonic())
        except IntakeFullError as full:
            raise ApiError(413, "too_far_ahead", str(full)) from None

    def press(self, key: str) -> None:
        """A key was pressed."""
        self._active_at = time.monotonic()
        self._call.actor.post(KeyPressed(key, taken=self.keys.take(key)))

    def mark_came(self, name: str) -> None:
        """The bridge has come to a mark, or asks when it will have."""
        took_s = self._marks.came(name, self.link.playout.written, time.monotonic())
        if took_s is not None:
            self._far_end_s = max(took_s - FRAME_S, 0.0)
        self._return_marks()

    def silence(self) -> None:
        """The bridge wants Morgan to be silent."""
        self._call.actor.post(StopReply())

    # The call's line -------------------------------------------------------------------------------------------------

    @property
    def speaker(self) -> Speaker:
        """See `Line`."""
        return self.link.playout

    @property
    def peers(self) -> Collection[WebRtcPeer]:
        """See `Line`."""
        return ()

    def tell(self, event: CallEvent) -> None:
        """See `Line`."""
        match event:
            case PlaybackStarted():
                self._sounding = self._to_mark = True
            case PlaybackStopped():
                self._sounding = False
                if self._carrier.marks:
                    self._last_mark = self._marks.make(time.monotonic())
                    self._send_mark(self._last_mark)
            case PlaybackCleared():
                self._sounding = False
                self._carrier.clear()
                for name in self._marks.cleared():
                    self._send_mark(name)
            case ReplyDone():
                self._replied(event)
            case _:
                pass

    def stats(self) -> Mapping[str, float | None]:
        """See `Line`."""
        return {**asdict(self.link.stats(time.monotonic())), "far_end_s": self._far_end_s}

    async def close(self, reason: str) -> None:
        """See `Line`."""
        self._pacer.remove(self)
        self.link.close()
        if self._leaving is None:
            self._follow_ups.put(self._bridge_id, self._call.options.user_id, None)
        self._follow_ups.left(self._bridge_id, self._call.options.user_id, time.monotonic())
        await self._carrier.close(reason)

    # Leaving ---------------------------------------------------------------------------------------------------------

    def leave(self, target: str | None) -> None:
        """See `server.telephone.tools.Leavable`. A caller who speaks over the last words stays."""
        self._leaving = "hung_up" if target is None else "transferred"
        self._follow_ups.put(self._bridge_id, self._call.options.user_id, target)

    def _replied(self, event: ReplyDone) -> None:
        if self._leaving is None:
            return
        if event.status == "cancelled":
            self._leaving = None
            self._follow_ups.put(self._bridge_id, self._call.options.user_id, None)
        else:
            now = time.monotonic()
            self._leaves_at = now + (LAST_WORD_S if self._carrier.marks else self._delay_s)

    def _watch(self, now: float) -> None:
        """Look after the bounds of the call, and leave when it is time."""
        if self._leaves_at is not None and self._leaving is not None:
            if now >= self._leaves_at or (self._carrier.marks and not self._marks.waits_for(self._last_mark)):
                self._end(self._leaving)
            return
        if self._call.state is not State.LISTENING:
            self._active_at = now
        if now - self._active_at > IDLE_S:
            self._end("idle")

    # From the clock and the link -------------------------------------------------------------------------------------

    @property
    def resting(self) -> bool:
        """See `media.pacer.Paced`."""
        return self.link.playout.resting

    def tick(self, due: Due, now: float, read: bool) -> None:
        """See `media.pacer.Paced`."""
        self.link.tick(due, now)
        self._return_marks()
        self._watch(now)

    def fail(self, error: Exception) -> None:
        """See `media.pacer.Paced`: there is no other connection that this call could go on with."""
        self._end(BROKEN)

    def _say(self, pcm: Pcm) -> None:
        """Send 20 ms. The fade behind the end of a reply belongs to nothing any more and is left out."""
        if not self._sounding:
            return
        if not self._carrier.media(self._encoder.encode(pcm)):
            self._too_slow()
        if self._to_mark and self._carrier.marks:
            self._to_mark = False
            self._send_mark(self._marks.make(time.monotonic()))
        self._call.delayed_by(self._delay_s)

    @property
    def _delay_s(self) -> float:
        return self._carrier.lead_frames * FRAME_S + self._far_end_s

    def _return_marks(self) -> None:
        for name in self._marks.due(self.link.playout.position):
            self._send_mark(name)

    def _send_mark(self, name: str) -> None:
        if not self._carrier.mark(name):
            self._too_slow()

    def _too_slow(self) -> None:
        if self._call.ended_reason is None:
            self._end("slow_reader")

    def _end(self, reason: str) -> None:
        self._pacer.remove(self)
        self.link.close()
        self._call.end_soon(reason)
