"""A real WebRTC client: what a browser does in a call, from Python, on stock aiortc.

Used by `morgan call`, by the benchmarks and by tests. It shares no code with the server's transport or codecs.
"""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.rtp import RtpPacket

from media.upstream import stock
from media.values import Pcm
from server.client.caller_audio import RATE, Ear, HeardPacket, Leak, Microphone, Spoken, resample
from server.client.listener import CallFailedError, Listener

__all__ = ["CallFailedError", "Caller"]

MAX_MESSAGES = 10_000
"""Messages kept; the oldest are forgotten."""


class Caller(Listener):
    """One call.

    Use: `async with Caller() as caller: offer = await caller.offer(); await caller.accept(answer)`.

    Args:
        label: of the data channel; None for none.
        noise: of the microphone, see `Microphone`.
        leak_db: gain of the echo of what is heard in the microphone; None for no echo.
        leak_s: its delay.
        relays: TURN servers (one of them is used); media goes by way of them alone. None for the direct way.

    Attributes:
        messages: (`time.monotonic()`, text) of everything that came over the data channel.
    """

    def __init__(
        self,
        label: str | None = "oai-events",
        noise: float = 4.0,
        leak_db: float | None = None,
        leak_s: float = 0.06,
        relays: Sequence[RTCIceServer] = (),
    ) -> None:
        self.messages: deque[tuple[float, str]] = deque(maxlen=MAX_MESSAGES)
        self._label = label
        self._relays = list(relays)
        self._ear = Ear()
        leak = None if leak_db is None else Leak(self._ear, leak_db, leak_s)
        self._microphone = Microphone(noise, leak=leak)
        self._connection: RTCPeerConnection | None = None
        self._channel: RTCDataChannel | None = None
        self._changed = asyncio.Condition()
        self._notices: set[asyncio.Task[None]] = set()
        self._held_back: deque[bytes] = deque()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether ICE and DTLS stand."""
        return self._connection is not None and self._connection.connectionState == "connected"

    @property
    def state(self) -> str:
        """`RTCPeerConnection.connectionState`; "closed" before `offer`."""
        return "closed" if self._connection is None else self._connection.connectionState

    @property
    def packets(self) -> list[HeardPacket]:
        """Every packet that was heard, in order."""
        return list(self._ear.packets)

    async def offer(self, direction: str = "sendrecv") -> str:
        """Gather addresses and return the SDP offer."""
        policy = RTCIceTransportPolicy.RELAY if self._relays else RTCIceTransportPolicy.ALL
        connection = RTCPeerConnection(RTCConfiguration(self._relays, policy, RTCBundlePolicy.MAX_BUNDLE))
        self._connection = connection
        transceiver = connection.addTransceiver(self._microphone, direction=direction)
        if self._label is not None:
            channel = connection.createDataChannel(self._label)
            self._channel = channel
            channel.on("message", self._message_received)
            channel.on("open", self._notify)
        connection.on("connectionstatechange", self._notify)
        if not self._relays:
            stock.reach_loopback(transceiver.receiver.transport.transport)
        await connection.setLocalDescription(await connection.createOffer())
        return connection.localDescription.sdp

    async def accept(self, answer_sdp: str, timeout: float = 10.0) -> None:
        """Take the answer and wait until the connection stands.

        Raises:
            CallFailedError: it does not stand after `timeout` seconds.
        """
        connection = self._connection
        if connection is None:
            raise CallFailedError("offer() comes first")
        await connection.setRemoteDescription(RTCSessionDescription(answer_sdp, "answer"))
        receiver = connection.getTransceivers()[0].receiver
        stock.see_packets(receiver, self._packet_came)
        await self._wait_for(lambda: self.state not in ("new", "connecting"), timeout, "the connection")
        if not self.connected:
            raise CallFailedError(f"the connection is {self.state}")
        await stock.end_decoding(receiver)

    def say(self, pcm: Pcm, rate: int = RATE) -> asyncio.Future[Spoken]:
        """Say something after what is being said already.

        Args:
            pcm: mono 16-bit, shape (n,).
            rate: its sample rate, Hz.

        Returns:
            Done when its last sample has been sent; the times of its first and last sample.
        """
        return self._microphone.say(resample(pcm, rate, RATE))

    def hush(self) -> None:
        """Stop talking; what was not said yet is cancelled."""
        self._microphone.hush()

    def hold(self) -> None:
        """Send no RTP at all, as a far end does that has fallen silent or lost its microphone."""
        self._sender().replaceTrack(None)

    def unhold(self) -> None:
        """Send again; what `say` had queued goes on."""
        self._sender().replaceTrack(self._microphone)

    def stall(self) -> None:
        """Hold back every packet of ours, as a network or a machine does that stands still; time goes on."""
        held = self._held_back

        async def hold(data: bytes) -> None:
            held.append(data)

        stock.divert(self._sender().transport, hold)

    async def end_stall(self, *, drop: bool = False) -> int:
        """Send what a stall held back, all at once; returns how many packets that were.

        Args:
            drop: the stall swallowed them.
        """
        transport, held = self._sender().transport, self._held_back
        count = len(held)
        if drop:
            held.clear()
        while held:
            await stock.send_past_diversion(transport, held.popleft())
        stock.end_diversion(transport)
        return count

    def send(self, text: str) -> None:
        """Send a text message over the data channel.

        Raises:
            CallFailedError: it is not open.
        """
        if self._channel is None or self._channel.readyState != "open":
            raise CallFailedError("the data channel is not open")
        self._channel.send(text)

    def stop_reply(self) -> None:
        """Silence what Morgan is saying.

        Raises:
            CallFailedError: the data channel is not open.
        """
        self.send(json.dumps({"type": "response.cancel"}))

    async def channel_open(self, timeout: float = 10.0) -> None:
        """Wait until messages may be sent.

        Raises:
            CallFailedError: after `timeout` seconds.
        """
        channel = self._channel
        await self._wait_for(
            lambda: channel is not None and channel.readyState == "open", timeout, "an open data channel"
        )

    async def wait_for_message(self, wanted: Callable[[str], bool], timeout: float = 10.0) -> tuple[float, str]:
        """The first message so far, or to come, that is wanted.

        Raises:
            CallFailedError: none came in `timeout` seconds.
        """

        def found() -> tuple[float, str] | None:
            return next((message for message in self.messages if wanted(message[1])), None)

        await self._wait_for(lambda: found() is not None, timeout, "a message")
        message = found()
        assert message is not None
        return message

    def heard_pcm(self, rate: int = RATE) -> Pcm:
        """Everything that was heard, by RTP timestamps, mono, shape (n,)."""
        return self._ear.pcm(rate)

    async def close(self) -> None:
        """Hang up."""
        self._microphone.hush()
        if self._connection is not None:
            # aiortc's close has been seen to hang; a caller that is done must not.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._connection.close(), 3)
        self._microphone.stop()

    def _sender(self) -> RTCRtpSender:
        if self._connection is None:
            raise CallFailedError("offer() comes first")
        return self._connection.getSenders()[0]

    def _packet_came(self, packet: RtpPacket) -> None:
        self._ear.hear(packet.timestamp, packet.payload, time.monotonic())

    def _message_received(self, message: str | bytes) -> None:
        self.messages.append((time.monotonic(), message if isinstance(message, str) else message.decode()))
        self._notify()

    def _notify(self) -> None:
        task = asyncio.ensure_future(self._notify_all())
        self._notices.add(task)
        task.add_done_callback(self._notices.discard)

    async def _notify_all(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait_for(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            raise CallFailedError(f"waited {timeout} s for {what} in vain") from None
