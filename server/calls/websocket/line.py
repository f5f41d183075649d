"""The line of a call over a WebSocket."""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict

from media.audio_sender import Due
from media.pacer import Pacer
from media.pcm_link import PcmLink
from media.peer import WebRtcPeer
from media.values import Pcm, Speaker
from persistence.values import SessionKind
from pipeline.call.actor import BROKEN
from pipeline.call.events import CallEvent, PlaybackCleared
from pipeline.call.state import State
from server.calls.call import Call
from server.calls.websocket.events import SocketEvents, error
from server.calls.websocket.send_queue import SocketOutbox

IDLE_S = 300.0
"""A session in which nobody sends or says anything for so long is ended."""

SETTLED_S = 0.5
"""After so much silence behind the last sound there is no turn in it that was not seen."""

FAR_END_S = 0.04
"""What a client buffers before it plays, about."""

CLOSE_CODES = {"shutdown": 1001, "slow_reader": 1008, BROKEN: 1011, "idle": 4408}
"""By reason; an ordinary end is 1000 (RFC 6455 section 7.4)."""


class SocketLine:
    """Implements `server.calls.line.Line` and `media.pacer.Paced`.

    Args:
        call: that is on this line.
        outbox: to the client.
        pacer: the clock of all calls.
        rate: of the client's audio, Hz.

    Attributes:
        link: the audio.
        stopped: the client has said that nothing more comes.
    """

    kind: SessionKind = "ws"

    def __init__(self, call: Call, outbox: SocketOutbox, pacer: Pacer, rate: int) -> None:
        self.link = PcmLink(
            call, self._say, asyncio.get_running_loop().call_soon, time.monotonic(), rate, call.recording
        )
        self.stopped = False
        self._call = call
        self._outbox = outbox
        self._pacer = pacer
        self._events = SocketEvents(call.id)
        self._active_at = time.monotonic()

    @property
    def speaker(self) -> Speaker:
        """See `Line`."""
        return self.link.playout

    def open(self) -> None:
        """The client knows that the session stands: sound flows from now on."""
        self._call.on_connected()
        self._pacer.add(self)

    def receive(self, data: bytes) -> None:
        """The client sent audio.

        Raises:
            media.pcm_intake.IntakeFullError: too far ahead of real time; nothing of it was taken.
        """
        self.link.receive(data, time.monotonic())

    def active(self) -> None:
        """The client sent something."""
        self._active_at = time.monotonic()

    def stop(self) -> None:
        """Nothing more comes: end when what came has been heard and answered."""
        self.stopped = True
        self.link.intake.end()

    @property
    def peers(self) -> Collection[WebRtcPeer]:
        """See `Line`."""
        return ()

    def tell(self, event: CallEvent) -> None:
        """See `Line`."""
        if isinstance(event, PlaybackCleared):
            self._outbox.drop_audio()
        for message in self._events.translate(event):
            if not self._outbox.put(message, must=message["type"] == "ended"):
                self._call.record.events_dropped += 1
                self._too_slow()

    def stats(self) -> Mapping[str, float | None]:
        """See `Line`."""
        return asdict(self.link.stats(time.monotonic()))

    async def close(self, reason: str) -> None:
        """See `Line`."""
        self._pacer.remove(self)
        self.link.close()
        await self._outbox.close(CLOSE_CODES.get(reason, 1000), reason)

    # From the clock and the link -------------------------------------------------------------------------------------

    @property
    def resting(self) -> bool:
        """See `media.pacer.Paced`."""
        return self.link.playout.resting

    def tick(self, due: Due, now: float, read: bool) -> None:
        """See `media.pacer.Paced`."""
        self.link.tick(due, now)
        if self._call.state is not State.LISTENING:
            self._active_at = now
        elif self.stopped:
            if self.link.intake.silent_s >= SETTLED_S:
                self._end("stop")
        elif now - self._active_at > IDLE_S:
            self._outbox.put(error("idle", f"Nothing was sent or said for {IDLE_S:.0f} s"))
            self._end("idle")

    def fail(self, error: Exception) -> None:
        """See `media.pacer.Paced`: there is no other connection that this call could go on with."""
        self._end(BROKEN)

    def _say(self, pcm: Pcm) -> None:
        """Send 20 ms. The fade behind the end of a reply belongs to nothing any more and is left out."""
        if not self._events.sounding:
            return
        if not self._outbox.put(pcm.astype("<i2", copy=False).tobytes()):
            self._too_slow()
        self._call.delayed_by(self._outbox.lag_s + FAR_END_S)

    def _too_slow(self) -> None:
        if self._call.ended_reason is None:
            self._outbox.drop_audio()
            message = "What is sent to you is not read fast enough; a session sends 48 KB a second while it speaks"
            self._outbox.put(error("slow_reader", message), must=True)
            self._end("slow_reader")

    def _end(self, reason: str) -> None:
        self._pacer.remove(self)
        self.link.close()
        self._call.end_soon(reason)
