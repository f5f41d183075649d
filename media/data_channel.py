"""Text messages over SCTP (RFC 8831), opened in band by the far end (RFC 8832)."""

import asyncio
from collections.abc import Callable

from aiortc.rtcdatachannel import RTCDataChannel
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcsctptransport import RTCSctpCapabilities

from media.offer import DataChannelOffer
from media.sdp_answer import MAX_MESSAGE_SIZE, SCTP_PORT
from media.upstream.sctp import SctpTransport

MAX_WAITING_MESSAGES = 256
MAX_WAITING_BYTES = 1 << 20
"""Bounds of what waits to be sent; beyond either, `DataChannel.send` refuses."""

MAX_CHANNELS = 16
"""Data channels that the far end may have open at a time; messages are taken from one."""


class DataChannel:
    """The one data channel of a call. The first that the far end opens, under whatever label, is taken.

    Args:
        dtls: what it runs on; must be connected when `start` is called.
        offer: the far end's side.
        on_open: called when messages may be sent.
        on_message: called with each text message; binary ones and those over `MAX_MESSAGE_SIZE` bytes are left out.
    """

    def __init__(
        self,
        dtls: RTCDtlsTransport,
        offer: DataChannelOffer,
        on_open: Callable[[], None],
        on_message: Callable[[str], None],
    ) -> None:
        self._sctp = SctpTransport(dtls, SCTP_PORT)
        self._offer = offer
        self._on_open = on_open
        self._on_message = on_message
        self._channel: RTCDataChannel | None = None
        self._most = min(MAX_MESSAGE_SIZE, offer.max_message_size or MAX_MESSAGE_SIZE)
        self._sctp.on("datachannel", self._opened)

    @property
    def label(self) -> str | None:
        """As the far end named it; None while it is not open."""
        return None if self._channel is None else self._channel.label

    async def start(self) -> None:
        """Begin the SCTP association; returns at once."""
        capabilities = RTCSctpCapabilities(maxMessageSize=self._offer.max_message_size)
        await self._sctp.start(capabilities, self._offer.sctp_port)

    def send(self, text: str) -> bool:
        """Queue a message; False when the channel is not open, the queue is full or the message is too long."""
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return False
        size = len(text.encode())
        if size > self._most or channel.bufferedAmount + size > MAX_WAITING_BYTES:
            return False
        if self._sctp.messages_waiting >= MAX_WAITING_MESSAGES:
            return False
        channel.send(text)
        return True

    async def stop(self) -> None:
        """Abort the association. Calling it again does nothing."""
        self._channel = None
        await self._sctp.stop()

    def _opened(self, channel: RTCDataChannel) -> None:
        if self._channel is not None:
            if self._sctp.channels > MAX_CHANNELS:
                channel.close()
            return
        self._channel = channel

        def closed() -> None:
            if self._channel is channel:
                self._channel = None

        def received(message: str | bytes) -> None:
            if isinstance(message, str) and len(message.encode()) <= MAX_MESSAGE_SIZE:
                self._on_message(message)

        channel.on("message", received)
        channel.on("close", closed)
        # aiortc tells of the channel from inside its receive task: one turn later, a listener may send at once.
        asyncio.get_running_loop().call_soon(self._on_open)
