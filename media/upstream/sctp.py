"""aiortc's SCTP, which trusts the far end a little less."""

import contextlib
import logging

from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcsctptransport import Chunk, DataChunk, RTCSctpTransport

logger = logging.getLogger(__name__)

MAX_STREAMS = 256
"""SCTP streams that the far end may use, where browsers use one."""


class SctpTransport(RTCSctpTransport):
    """An `RTCSctpTransport` that survives malformed packets and enforces the window that it announces.

    Args:
        transport: what it runs on.
        port: ours, as the answer has it.

    Attributes:
        malformed: packets at which aiortc's code raised.
    """

    def __init__(self, transport: RTCDtlsTransport, port: int) -> None:
        super().__init__(transport, port=port)
        self._inbound_streams_max = MAX_STREAMS
        self.malformed = 0

    @property
    def messages_waiting(self) -> int:
        """Messages that have not yet been cut into chunks."""
        return len(self._data_channel_queue)

    @property
    def channels(self) -> int:
        """Data channels that are open."""
        return len(self._data_channels)

    async def _handle_data(self, data: bytes) -> None:
        # An exception here would end the task that reads DTLS, and with it the call.
        try:
            await super()._handle_data(data)
        except Exception as error:
            self.malformed += 1
            if self.malformed == 1:
                logger.warning("malformed SCTP packet ignored", extra={"error": repr(error), "bytes": len(data)})

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        # aiortc announces its window but does not enforce it; what is dropped here is not acknowledged either.
        if chunk.stream_id >= MAX_STREAMS or self._advertised_rwnd < len(chunk.user_data):
            return
        await super()._receive_data_chunk(chunk)

    async def _send_chunk(self, chunk: Chunk) -> None:
        # Sent from timers and loose tasks too, which may fire while DTLS goes down; SCTP repeats what is lost.
        with contextlib.suppress(ConnectionError):
            await super()._send_chunk(chunk)
