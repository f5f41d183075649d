"""A WebSocket beside a call (`/v1/realtime?call_id=`): a server that sees and says what its caller's browser does."""

import asyncio

from aiohttp import WSMsgType, web

from server.bounds import MAX_REALTIME_EVENT, MAX_REALTIME_WAITING
from server.calls.websocket.send_queue import SocketOutbox
from server.realtime.errors import RealtimeError
from server.realtime.items import Json
from server.realtime.session import RealtimeSession

MOST = 8
"""Clients beside one call."""


class Sideband:
    """Implements `server.realtime.ends.Sink` for one connection.

    Args:
        request: that became the WebSocket.
        socket: prepared.
        session: of the call.
    """

    def __init__(self, request: web.Request, socket: web.WebSocketResponse, session: RealtimeSession) -> None:
        self._socket = socket
        self._session = session
        self._outbox = SocketOutbox(request, socket, MAX_REALTIME_WAITING)
        self._over = asyncio.Event()

    def put(self, message: Json) -> None:
        """See `Sink`."""
        if not self._outbox.put(message):
            self._over.set()

    def over(self) -> None:
        """See `Sink`."""
        self._over.set()

    async def run(self) -> None:
        """Listen and speak until the call is over, or the client has left."""
        tasks = (
            asyncio.create_task(self._over.wait(), name="sideband over"),
            asyncio.create_task(self._read(), name="sideband"),
        )
        try:
            self.put(self._session.created())
            self._session.join(self)
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._session.leave(self)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._outbox.close(1000, "")

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                self._session.receive(message.data, self, limit=MAX_REALTIME_EVENT)
            elif message.type is WSMsgType.BINARY:
                self._session.refuse(not_binary(), None, self)


def not_binary() -> RealtimeError:
    """The answer to a binary message."""
    return RealtimeError("invalid_event", "Events are JSON in text messages; audio is base64 in one of them.")
