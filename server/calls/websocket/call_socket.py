"""A WebSocket that carries one call: what every protocol on one shares, from the first message to the end."""

import asyncio
from abc import ABC, abstractmethod
from typing import ClassVar

from aiohttp import WSMsgType, web

from server.bounds import MAX_SOCKET_ERRORS
from server.calls.call import Call
from server.calls.websocket.send_queue import SocketOutbox
from server.http.errors import ApiError

START_S = 10.0
"""A client that has not begun a call by then is sent away."""


class CallSocket(ABC):
    """Takes the messages of one client; a subclass reads them, and begins the call.

    Args:
        request: that became the WebSocket.
        socket: prepared.

    Attributes:
        refusals: statuses of errors after which no call can begin here any more, so that the connection is closed.
        what: the client begins, for people.
        call: that is carried; None until it has begun.
    """

    refusals: ClassVar[frozenset[int]] = frozenset({503})
    what: ClassVar[str] = "call"

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self.call: Call | None = None
        self._request = request
        self._socket = socket
        self._outbox = SocketOutbox(request, socket)
        self._errors = 0
        self._gone = "lost"

    async def run(self) -> None:
        """Take messages until the call is over, or the client has left."""
        try:
            async with asyncio.timeout(START_S):
                while self.call is None and await self._take():
                    pass
        except TimeoutError:
            if self.call is None:
                self._tell(ApiError(408, "start_timeout", f"No {self.what} was begun within {START_S:.0f} s"))
                await self._outbox.close(4408, "start_timeout")
                return
        while not self._socket.closed and await self._take():
            pass

    async def end(self) -> None:
        """The connection is gone, or has to go."""
        try:
            if self.call is not None:
                await self.call.end(self._gone)
        finally:
            await self._outbox.close(1000, "")

    @abstractmethod
    async def _apply(self, text: str) -> bool:
        """Apply a message of text; False when the client has hung up with it. Raises ApiError."""

    @abstractmethod
    def _hear(self, data: bytes) -> None:
        """Take a binary message. Raises ApiError."""

    @abstractmethod
    def _tell(self, refused: ApiError) -> None:
        """Tell the client what is wrong with a message."""

    async def _take(self) -> bool:
        """Take a message; False when there is no more."""
        message = await self._socket.receive()
        try:
            if message.type is WSMsgType.BINARY:
                self._hear(message.data)
            elif message.type is WSMsgType.TEXT:
                if not await self._apply(message.data):
                    self._gone = "hangup"
                    return False
            else:
                if message.type is WSMsgType.CLOSE:
                    self._gone = "hangup"
                return False
        except ApiError as refused:
            return await self._refuse(refused)
        except Exception as error:
            if self.call is None:
                raise
            self.call.fail(error)
        return True

    async def _refuse(self, refused: ApiError) -> bool:
        """Tell what is wrong with a message; False when that is the end."""
        self._tell(refused)
        self._errors += 1
        fatal = self.call is None and refused.status in self.refusals
        if not fatal and self._errors < MAX_SOCKET_ERRORS:
            return True
        code, reason = (1013 if refused.status == 503 else 1008, refused.code) if fatal else (1008, "too_many_errors")
        if self.call is not None:
            await self.call.end(reason)
        await self._outbox.close(code, reason)
        return False
