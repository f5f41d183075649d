"""What waits to be sent over a WebSocket: bounded, in order, and sent by one task."""

import asyncio
import json
import socket
from collections import deque
from typing import Any

import structlog
from aiohttp import web

from media.values import SEND_RATE
from server.bounds import MAX_SOCKET_WAITING

UNSENT = 8 * 1024
"""Bytes that the transport takes before it makes us wait: a sixth of a second of speech."""

FLUSH_S = 2.0
"""How long the last words wait for a slow reader."""

log = structlog.get_logger(__name__)


class SocketOutbox:
    """Sends to one client; full when the client does not read what is sent to it.

    Args:
        request: whose transport it is.
        socket: prepared.
        most: bytes that may wait.

    Attributes:
        full: something did not fit; from then on only what is put with `must` is taken.
    """

    def __init__(self, request: web.Request, socket: web.WebSocketResponse, most: int = MAX_SOCKET_WAITING) -> None:
        self.full = False
        self._most = most
        self._socket = socket
        self._transport = request.transport
        self._waiting: deque[bytes | str] = deque()
        self._bytes = self._audio_bytes = 0
        self._ready = asyncio.Event()
        self._closing = False
        _keep_short(request.transport)
        self._task = asyncio.create_task(self._send(), name="audio socket")

    @property
    def lag_s(self) -> float:
        """Speech that was put and has not left this process."""
        unsent = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return (self._audio_bytes + unsent) / 2 / SEND_RATE

    def put(self, message: dict[str, Any] | bytes, *, must: bool = False) -> bool:
        """Put a message or audio behind what waits; False when it does not fit.

        Args:
            message: JSON, or samples.
            must: whether to take it in any case: for the last words.
        """
        data = message if isinstance(message, bytes) else json.dumps(message, ensure_ascii=False)
        if (self.full or self._bytes + len(data) > self._most) and not must:
            self.full = True
            return False
        self._waiting.append(data)
        self._count(data, 1)
        self._ready.set()
        return True

    def drop_audio(self) -> None:
        """Take back the audio that waits."""
        for data in self._waiting:
            if isinstance(data, bytes):
                self._count(data, -1)
        self._waiting = deque(data for data in self._waiting if isinstance(data, str))

    async def close(self, code: int, reason: str) -> None:
        """Send what waits, as far as the client takes it within `FLUSH_S`, and close the WebSocket."""
        self._closing = True
        self._ready.set()
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._task
                await self._socket.close(code=code, message=reason.encode()[:120])
        except TimeoutError:
            log.info("the client does not read what is sent to it", reason=reason)
            if self._transport is not None:
                self._transport.abort()

    async def _send(self) -> None:
        try:
            while self._waiting or not self._closing:
                await self._ready.wait()
                while self._waiting:
                    data = self._waiting.popleft()
                    self._count(data, -1)
                    await (self._socket.send_bytes(data) if isinstance(data, bytes) else self._socket.send_str(data))
                if not self._closing:
                    self._ready.clear()
        except ConnectionError:
            # The task that reads from the socket is told as well, and ends the session.
            self.full = True
        except Exception:
            log.exception("nothing more can be sent to a client")
            self.full = True
            if self._transport is not None:
                self._transport.abort()

    def _count(self, data: bytes | str, sign: int) -> None:
        self._bytes += sign * len(data)
        if isinstance(data, bytes):
            self._audio_bytes += sign * len(data)


def _keep_short(transport: asyncio.Transport | None) -> None:
    """Keep what is sent and not yet on the wire short: what waits in buffers would be taken for heard."""
    if transport is None:
        return
    transport.set_write_buffer_limits(high=UNSENT)
    connection = transport.get_extra_info("socket")
    if connection is not None and hasattr(socket, "TCP_NOTSENT_LOWAT") and connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
