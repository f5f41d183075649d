"""aiortc's SCTP, which trusts the far end a little less."""

import contextlib
import logging
import struct

from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcsctptransport import Chunk, DataChunk, ForwardTsnChunk, RTCSctpTransport, SackChunk

logger = logging.getLogger(__name__)

MAX_STREAMS = 256
"""SCTP streams that the far end may use, where browsers use one."""


MAX_HELD_CHUNKS = 1024
"""DATA chunks that wait for those before them, or for the rest of their message; a full window has 874. Beyond it they
are dropped, unacknowledged: a window of a million messages of one byte would take half a gigabyte."""

MAX_GAP = 4096
"""Numbers behind the acknowledged one that a gap block may speak of; never so many chunks are under way."""

_HEADER = 12
_CHUNK = struct.Struct("!BBH")
_PARAMETERS_AT = {1: 20, 2: 20, 4: 4, 5: 4, 6: 4, 9: 4, 130: 4}
"""Where the parameters begin in chunks that have some (INIT, INIT ACK, HEARTBEAT, its ACK, ABORT, ERROR, RE-CONFIG)."""


def endless(data: bytes) -> bool:
    """Whether a packet has a parameter that is shorter than its own header (RFC 9260 section 3.2.1).

    aiortc 1.16 goes on behind a parameter by the length that it says of itself: with 0 for ever, and with ever more
    memory. (Whatever else is wrong with a packet is left to its checks.)
    """
    at = _HEADER
    while at + _CHUNK.size <= len(data):
        kind, _, length = _CHUNK.unpack_from(data, at)
        if length < _CHUNK.size:
            return False
        parameter, end = at + _PARAMETERS_AT.get(kind, length), min(at + length, len(data))
        while parameter + 4 <= end:
            size = int.from_bytes(data[parameter + 2 : parameter + 4])
            if size < 4:
                return True
            parameter += size + -size % 4
        at += length + -length % 4
    return False


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
            if endless(data):
                raise ValueError("a parameter is shorter than its header")
            await super()._handle_data(data)
        except Exception as error:
            self.malformed += 1
            if self.malformed == 1:
                logger.warning("malformed SCTP packet ignored", extra={"error": repr(error), "bytes": len(data)})

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        # aiortc announces its window but does not enforce it; what is dropped here is not acknowledged either.
        if chunk.stream_id >= MAX_STREAMS or self._advertised_rwnd < len(chunk.user_data):
            return
        # One without data is an error (RFC 9260 section 3.3.1), and would take no room of the window.
        if not chunk.user_data or self._held_chunks() >= MAX_HELD_CHUNKS:
            return
        await super()._receive_data_chunk(chunk)

    def _held_chunks(self) -> int:
        return sum(len(stream.reassembly) for stream in self._inbound_streams.values())

    async def _receive_forward_tsn_chunk(self, chunk: ForwardTsnChunk) -> None:
        # Each stream that is named is remembered, and gone through at every such chunk.
        chunk.streams = [(stream, number) for stream, number in chunk.streams if stream < MAX_STREAMS]
        await super()._receive_forward_tsn_chunk(chunk)

    async def _receive_sack_chunk(self, chunk: SackChunk) -> None:
        # aiortc counts every number of every gap block: 300 blocks of 65,535 in a packet take seconds. Only what was
        # sent can be acknowledged, each of it once.
        sent = (self._sent_queue[-1].tsn - chunk.cumulative_tsn) & 0xFFFFFFFF if self._sent_queue else 0
        sent = min(sent, MAX_GAP) if sent < 1 << 31 else 0
        gaps: list[tuple[int, int]] = []
        reached = 0
        for begin, end in sorted(chunk.gaps):
            begin, end = max(begin, reached + 1), min(end, sent)
            if begin <= end:
                gaps.append((begin, end))
                reached = end
        chunk.gaps = gaps
        await super()._receive_sack_chunk(chunk)

    async def _send_chunk(self, chunk: Chunk) -> None:
        # Sent from timers and loose tasks too, which may fire while DTLS goes down; SCTP repeats what is lost.
        with contextlib.suppress(ConnectionError):
            await super()._send_chunk(chunk)
