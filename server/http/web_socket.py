"""WebSockets of clients: bounded messages, none of them compressed, and turns for others between any two."""

import asyncio
from collections.abc import Iterable
from typing import Any

from aiohttp import WSMsgType, web

from server.http.errors import ApiError

HEARTBEAT_S = 20.0
"""A client that does not answer a ping within half of this is gone."""

CLOSE_S = 2.0


class ClientSocket(web.WebSocketResponse):
    """The server's end of a WebSocket.

    One read of the network brings thousands of short messages and pings. They are taken one by one: else all that they
    ask for would be done in one pass of the event loop, which has the sound of calls to see to.
    """

    async def receive(self, timeout: float | None = None) -> Any:
        """See `aiohttp.web.WebSocketResponse.receive`; pings are answered here."""
        while True:
            await asyncio.sleep(0)
            message = await super().receive(timeout)
            if message.type is WSMsgType.PING:
                await self.pong(message.data)
            elif message.type is not WSMsgType.PONG:
                return message


async def open_socket(
    request: web.Request, max_msg_size: int, expected: str, protocols: Iterable[str] = ()
) -> web.WebSocketResponse:
    """Make a request a WebSocket.

    Args:
        request: for one.
        max_msg_size: bytes of a message; a longer one closes the connection with code 1009.
        expected: for people: what this address is, if the request is for none.
        protocols: that are spoken.

    Raises:
        ApiError: 400, the request is for none.
    """
    socket = ClientSocket(
        heartbeat=HEARTBEAT_S,
        max_msg_size=max_msg_size,
        timeout=CLOSE_S,
        # Unpacked, what one read brings would be a thousand times as much, all of it at once.
        compress=False,
        autoping=False,
        writer_limit=1,
        protocols=protocols,
    )
    if not socket.can_prepare(request):
        raise ApiError(400, "websocket_expected", expected)
    await socket.prepare(request)
    return socket
