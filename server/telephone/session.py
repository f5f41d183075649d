"""One connection of a telephone bridge to `/ws/media-stream`, until its call is over."""

import asyncio

from aiohttp import WSMsgType, web

from server.bounds import MAX_SOCKET_ERRORS
from server.calls.call import Call
from server.calls.websocket.send_queue import SocketOutbox
from server.http.acting import acting_user
from server.http.errors import ApiError
from server.http.rate_limits import client_of
from server.identity.principal import principal_of
from server.telephone.desk import TelephoneDesk
from server.telephone.dialects import Dialect
from server.telephone.line import TelephoneLine
from server.telephone.opening import open_line
from server.telephone.stream_carrier import StreamCarrier
from server.telephone.wire import (
    ClearCame,
    KeyCame,
    LineBegan,
    LineEnded,
    MarkCame,
    NothingCame,
    SoundCame,
    read_text,
)
from server.telephone.wishes import LineWishes
from server.transcription.transcriber import TRANSCRIBER

START_S = 10.0
"""A bridge that has not begun a call by then is sent away."""


class StreamSession:
    """Serves one bridge.

    Args:
        request: that became the WebSocket.
        socket: prepared.
        dialect: of the bridge.
        desk: of the server.
    """

    def __init__(
        self, request: web.Request, socket: web.WebSocketResponse, dialect: Dialect, desk: TelephoneDesk
    ) -> None:
        self._request = request
        self._socket = socket
        self._dialect = dialect
        self._desk = desk
        self._outbox = SocketOutbox(request, socket)
        self._call: Call | None = None
        self._line: TelephoneLine | None = None
        self._errors = 0
        self._first = True
        self._gone = "lost"

    async def run(self) -> None:
        """Take messages until the call is over, or the bridge has left."""
        try:
            async with asyncio.timeout(START_S):
                while self._call is None and await self._take():
                    pass
        except TimeoutError:
            if self._call is None:
                self._tell(ApiError(408, "start_timeout", f"No call was begun within {START_S:.0f} s"))
                await self._outbox.close(4408, "start_timeout")
                return
        while not self._socket.closed and await self._take():
            pass

    async def end(self) -> None:
        """The connection is gone, or has to go."""
        try:
            if self._call is not None:
                await self._call.end(self._gone)
        finally:
            await self._outbox.close(1000, "")

    async def _take(self) -> bool:
        """Take a message; False when there is no more."""
        message = await self._socket.receive()
        try:
            if message.type is WSMsgType.BINARY:
                self._hear_binary(message.data)
            elif message.type is WSMsgType.TEXT:
                first, self._first = self._first, False
                return await self._apply(message.data, first=first)
            else:
                if message.type is WSMsgType.CLOSE:
                    self._gone = "hangup"
                return False
        except ApiError as refused:
            return await self._refuse(refused)
        return True

    async def _apply(self, text: str, *, first: bool) -> bool:
        came = read_text(text, self._dialect, first=first)
        match came:
            case LineBegan():
                await self._begin(came)
            case SoundCame():
                self._begun().hear(came.data)
            case KeyCame():
                self._begun().press(came.key)
            case MarkCame():
                self._begun().mark_came(came.name)
            case ClearCame():
                self._begun().silence()
            case LineEnded():
                self._gone = "hangup"
                return False
            case NothingCame():
                pass
        return True

    def _hear_binary(self, data: bytes) -> None:
        if self._dialect.to_media is not None:
            raise ApiError(400, "binary_message", "This dialect has its sound in messages of text, as base64")
        self._begun().hear(data)

    async def _begin(self, began: LineBegan) -> None:
        if self._call is not None:
            raise ApiError(409, "already_started", "This connection has its call; open another one for another")
        request = self._request
        wishes = LineWishes.of(began.parameters)
        if wishes.language:
            wishes.language = await request.app[TRANSCRIBER].language(wishes.language) or ""
        user_id = acting_user(request, wishes.user_id or self._desk.user_of(began.caller))
        self._call, self._line = await open_line(
            self._desk,
            principal_of(request),
            client_of(request),
            user_id,
            wishes,
            began.call_id,
            began.wire,
            lambda: StreamCarrier(self._outbox, self._dialect, began),
        )

    async def _refuse(self, refused: ApiError) -> bool:
        """Tell what is wrong with a message; False when that is the end: nobody speaks to a bridge without a call."""
        self._tell(refused)
        self._errors += 1
        fatal = refused.status in (404, 503) and self._call is None
        if not fatal and self._errors < MAX_SOCKET_ERRORS:
            return True
        code, reason = (1013, refused.code) if refused.status == 503 else (1008, refused.code)
        if not fatal:
            code, reason = 1008, "too_many_errors"
        if self._call is not None:
            await self._call.end(reason)
        await self._outbox.close(code, reason)
        return False

    def _tell(self, refused: ApiError) -> None:
        self._outbox.put({self._dialect.kind: "error", **refused.body()})

    def _begun(self) -> TelephoneLine:
        if self._line is None:
            raise ApiError(409, "not_started", "The first message but for a greeting begins a call")
        return self._line
