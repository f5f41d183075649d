"""The way to a bridge over a WebSocket, in its dialect."""

import base64

from media.telephone_band import WireFormat
from media.values import SEND_RATE
from pipeline.call.actor import BROKEN
from server.calls.websocket.send_queue import SocketOutbox
from server.telephone.dialects import TYPES, Dialect, filled
from server.telephone.wire import LineBegan

CLOSE_CODES = {"shutdown": 1001, "slow_reader": 1008, "too_many_errors": 1008, BROKEN: 1011}
"""By reason; an ordinary end is 1000 (RFC 6455 section 7.4)."""


class StreamCarrier:
    """Implements `server.telephone.line.Carrier`.

    Args:
        outbox: to the bridge.
        dialect: of the bridge.
        began: what it said of the line.
    """

    def __init__(self, outbox: SocketOutbox, dialect: Dialect, began: LineBegan) -> None:
        rate = began.wire.rate
        # What comes at a rate that a line cannot be told is answered at that of a telephone.
        self.wire = WireFormat(began.wire.encoding, rate if rate == SEND_RATE else WireFormat("mulaw").rate)
        self.lead_frames = dialect.lead_frames
        self.marks = dialect.to_mark is not None
        self._outbox = outbox
        self._dialect = dialect
        self._stream_id = began.stream_id

    def media(self, data: bytes) -> bool:
        """See `Carrier`."""
        template = self._dialect.to_media
        if template is None:
            return self._outbox.put(data)
        payload = base64.b64encode(data).decode()
        told = {
            "stream": self._stream_id,
            "payload": payload,
            "rate": self.wire.rate,
            "type": TYPES[self.wire.encoding],
        }
        return self._outbox.put(filled(template, **told))

    def mark(self, name: str) -> bool:
        """See `Carrier`."""
        template = self._dialect.to_mark
        return template is None or self._outbox.put(filled(template, stream=self._stream_id, name=name))

    def clear(self) -> None:
        """See `Carrier`."""
        self._outbox.drop_audio()
        if self._dialect.to_clear is not None:
            self._outbox.put(filled(self._dialect.to_clear, stream=self._stream_id), must=True)

    async def close(self, reason: str) -> None:
        """See `Carrier`."""
        if self._dialect.to_hang_up is not None and reason in ("hung_up", "transferred"):
            self._outbox.put(filled(self._dialect.to_hang_up, stream=self._stream_id), must=True)
        await self._outbox.close(CLOSE_CODES.get(reason, 1000), reason)
