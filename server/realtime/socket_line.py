"""The line of a call over a Realtime WebSocket: audio comes and goes as events."""

import asyncio
import base64
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict

from media.audio_sender import Due
from media.pacer import Pacer
from media.pcm_intake import IntakeFullError
from media.pcm_link import PcmLink
from media.peer import WebRtcPeer
from media.values import FRAME_S, RECEIVE_RATE, SEND_RATE, Pcm, Speaker
from persistence.values import SessionKind
from pipeline.call.actor import BROKEN
from pipeline.call.events import CallEvent, PlaybackStarted
from pipeline.call.state import State
from server.calls.call import Call
from server.calls.websocket.send_queue import SocketOutbox
from server.realtime.audio_format import Decoder, silence
from server.realtime.errors import RealtimeError
from server.realtime.items import Json
from server.realtime.sent_audio import SentAudio
from server.realtime.session import RealtimeSession
from server.realtime.session_config import SessionConfig

IDLE_S = 900.0
"""A session in which nobody sends or says anything for so long is ended."""

LEAD_FRAMES = 5
"""Audio that is sent ahead of real time: 100 ms, within which a network may be uneven."""

FAR_END_S = 0.04
"""What a client buffers before it plays, about."""

AT_ONCE = 25
"""Frames (half a second) that are heard in one tick where the client need not keep real time: 25 times as fast."""

MOST_BUFFERED_S = 110.0
"""Of a turn that the client ends itself; the call remembers 120 s of audio."""

CLOSE_CODES = {"shutdown": 1001, "slow_reader": 1008, "too_many_errors": 1008, BROKEN: 1011, "idle": 4408}
"""By reason; an ordinary end is 1000 (RFC 6455 section 7.4)."""


class RealtimeLine:
    """Implements `server.calls.line.Line`, `server.realtime.ends.AudioPort` and `Sink`, and `Paced`.

    Args:
        call: that is on this line.
        config: of its session.
        outbox: to the client.
        pacer: the clock of all calls.

    Attributes:
        session: of the call.
        link: the audio.
    """

    kind: SessionKind = "realtime"

    def __init__(self, call: Call, config: SessionConfig, outbox: SocketOutbox, pacer: Pacer) -> None:
        now = time.monotonic()
        self.link = PcmLink(
            call, self._say, asyncio.get_running_loop().call_soon, now, RECEIVE_RATE, call.recording, LEAD_FRAMES
        )
        self.session = RealtimeSession(call, config, port=self)
        self.session.sinks.append(self)
        self._call = call
        self._outbox = outbox
        self._pacer = pacer
        self._decoder = Decoder(config.input_format)
        self._encoder = self.session.encoder()
        self._sent = SentAudio()
        self._began_at = 0
        self._settling = False
        self._active_at = time.monotonic()

    def open(self) -> None:
        """The client knows that the session stands: sound flows from now on."""
        self.session.begin()
        self.put(self.session.created())
        self._call.on_connected()
        self._pacer.add(self)

    def receive(self, text: str, limit: int) -> None:
        """The client said something."""
        self._active_at = time.monotonic()
        self.session.receive(text, self, limit=limit)

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
        if isinstance(event, PlaybackStarted):
            self._began_at = self.link.playout.position
            self._encoder = self.session.encoder()
        self.session.tell(event)

    def stats(self) -> Mapping[str, float | None]:
        """See `Line`."""
        return asdict(self.link.stats(time.monotonic()))

    async def close(self, reason: str) -> None:
        """See `Line`."""
        self._pacer.remove(self)
        self.link.close()
        with self._call.failing():  # the WebSocket is still to be closed
            self.session.close()
        await self._outbox.close(CLOSE_CODES.get(reason, 1000), reason)

    def put(self, message: Json) -> None:
        """See `Sink`."""
        if not self._outbox.put(message):
            self._call.record.events_dropped += 1
            self._too_slow()

    def over(self) -> None:
        """See `Sink`: the WebSocket is closed with the call."""

    # Audio as events -------------------------------------------------------------------------------------------------

    def append(self, audio: str) -> None:
        """See `AudioPort`."""
        if self._decoder.wire != self.session.config.input_format:
            self._decoder = Decoder(self.session.config.input_format)
        pcm = self._decoder.decode(audio, "audio")
        if not self.session.config.hears_turns:
            waiting_s = self.link.intake.waiting_s + len(pcm) / RECEIVE_RATE
            if self._call.actor.machine.requests.buffered_ms / 1000 + waiting_s > MOST_BUFFERED_S:
                message = f"The input audio buffer holds at most {MOST_BUFFERED_S:.0f} s: commit or clear it."
                raise RealtimeError("input_audio_buffer_full", message, "audio")
        try:
            self.link.receive(pcm.astype("<i2", copy=False).tobytes(), time.monotonic())
        except IntakeFullError as full:
            raise RealtimeError("input_audio_buffer_full", str(full), "audio") from None

    def settle(self) -> bool:
        """See `AudioPort`."""
        if self.link.intake.waiting_s < FRAME_S and not self._settling:
            self._hear_rest()
            return True
        self._settling = True
        return False

    def clear(self) -> None:
        """See `AudioPort`."""
        self.link.intake.drop()

    def heard_ms(self, item_id: str) -> int | None:
        """See `AudioPort`."""
        return self._sent.length_ms(item_id)

    def at(self, item_id: str, sent_ms: int) -> int:
        """See `AudioPort`."""
        return self._sent.at(item_id, sent_ms)

    def _hear_rest(self) -> None:
        """What is left of a frame, and silence that makes whole windows of all that was sent."""
        now = time.monotonic()
        self.link.intake.feed(silence(2 * FRAME_S).tobytes(), now)
        for frame in self.link.intake.drain(now, 3):
            self._call.on_audio(frame)
        self.link.intake.drop()

    # From the clock and the link -------------------------------------------------------------------------------------

    @property
    def resting(self) -> bool:
        """See `media.pacer.Paced`."""
        return self.link.playout.resting and not self._settling

    def tick(self, due: Due, now: float, read: bool) -> None:
        """See `media.pacer.Paced`."""
        if self._settling or not self.session.config.hears_turns:
            self._hear_at_once(now)
        self.link.tick(due, now, hear=self.session.config.hears_turns and not self._settling)
        if self._call.state is not State.LISTENING:
            self._active_at = now
        elif now - self._active_at > IDLE_S:
            self.put(self.session.events.error("idle", f"Nothing was sent or said for {IDLE_S:.0f} s"))
            self._end("idle")

    def fail(self, error: Exception) -> None:
        """See `media.pacer.Paced`: there is no other connection that this call could go on with."""
        self._end(BROKEN)

    def _hear_at_once(self, now: float) -> None:
        for frame in self.link.intake.drain(now, AT_ONCE):
            self._call.on_audio(frame)
        if self._settling and self.link.intake.waiting_s < FRAME_S:
            self._settling = False
            self._hear_rest()
            self.session.settled()

    def _say(self, pcm: Pcm) -> None:
        """Send 20 ms. The fade behind the end of a reply belongs to nothing any more and is left out."""
        response = self.session.events.sounding
        if response is None:
            return
        end_ms = (self.link.playout.position - self._began_at) * 1000 / SEND_RATE
        ms = len(pcm) * 1000 / SEND_RATE
        self._sent.add(response.item_id, end_ms - ms, ms)
        data = base64.b64encode(self._encoder.encode(pcm)).decode()
        for kind, fields in response.add_audio(data) if data else ():
            self.session.put(self.session.events.event(kind, fields))
        self._call.delayed_by(LEAD_FRAMES * FRAME_S + FAR_END_S)

    def _too_slow(self) -> None:
        if self._call.ended_reason is None:
            message = "What is sent to you is not read fast enough; a session sends 70 KB a second while it speaks"
            told = self.session.events.error("slow_reader", message, kind="server_error")
            self._outbox.put(told, must=True)
            self._end("slow_reader")

    def _end(self, reason: str) -> None:
        self._pacer.remove(self)
        self.link.close()
        self._call.end_soon(reason)
