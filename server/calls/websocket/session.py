"""One connection to `/ws/audio`: what its client says, until there is nothing more to say."""

import asyncio

from aiohttp import WSMsgType, web

from media.pcm_intake import IntakeFullError
from pipeline.call.inputs import StopReply, UserTyped
from server.bounds import MAX_SOCKET_ERRORS
from server.calls.call import Call
from server.calls.registry import DRAIN_RETRY_S, RETRY_S, CallsFullError, DrainingError
from server.calls.requests import registry, wanted_call
from server.calls.websocket.events import error
from server.calls.websocket.line import SocketLine
from server.calls.websocket.messages import Audio, Interrupt, Message, Ping, Start, Stop, Text, parse_message
from server.calls.websocket.send_queue import SocketOutbox
from server.http.acting import named_user
from server.http.errors import ApiError
from server.http.rate_limits import client_of
from server.transcription.fields import decode_base64
from server.transcription.transcriber import TRANSCRIBER

START_S = 10.0
"""A client that has not begun a session by then is sent away."""


class AudioSession:
    """Serves one client.

    Args:
        request: that became the WebSocket.
        socket: prepared.
    """

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self._socket = socket
        self._outbox = SocketOutbox(request, socket)
        self._call: Call | None = None
        self._line: SocketLine | None = None
        self._errors = 0
        self._gone = "lost"

    async def run(self) -> None:
        """Take messages until the session is over, or the client has left."""
        try:
            async with asyncio.timeout(START_S):
                while self._call is None and await self._take():
                    pass
        except TimeoutError:
            if self._call is None:
                self._outbox.put(error("start_timeout", f"No session was started within {START_S:.0f} s"))
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
                self._hear(message.data)
            elif message.type is WSMsgType.TEXT:
                await self._apply(parse_message(message.data))
            else:
                if message.type is WSMsgType.CLOSE:
                    self._gone = "hangup"
                return False
        except ApiError as refused:
            return await self._refuse(refused)
        if self._line is not None:
            self._line.active()
        return True

    async def _refuse(self, refused: ApiError) -> bool:
        """Tell what is wrong with a message; False when that is the end."""
        self._outbox.put({"type": "error", **refused.body()})
        self._errors += 1
        code, reason = (1013, refused.code) if refused.status == 503 else (1008, "too_many_errors")
        if (refused.status != 503 or self._call is not None) and self._errors < MAX_SOCKET_ERRORS:
            return True
        if self._call is not None:
            await self._call.end(reason)
        await self._outbox.close(code, reason)
        return False

    async def _apply(self, message: Message) -> None:
        match message:
            case Start():
                await self._start(message)
            case Ping():
                self._outbox.put({"type": "pong"})
            case Audio():
                self._hear(decode_base64(message.data, "data"))
            case Text():
                call, _ = self._open()
                call.actor.post(UserTyped(message.text.strip()))
            case Interrupt():
                call, _ = self._started()
                call.actor.post(StopReply())
            case Stop():
                _, line = self._started()
                line.stop()

    async def _start(self, start: Start) -> None:
        if self._call is not None:
            raise ApiError(409, "already_started", "This connection has its session; open another one for another")
        if start.language:
            start.language = await self._request.app[TRANSCRIBER].language(start.language) or ""
        calls = registry(self._request)
        try:
            calls.check(client_of(self._request))
        except CallsFullError as full:
            raise self._full(full) from None
        user_id = named_user(self._request, start.user_id)
        beginning, options = await wanted_call(self._request, user_id, start.conversation_id, start)
        try:
            async with calls.reserve(beginning, client_of(self._request), **options) as call:
                line = SocketLine(call, self._outbox, calls.endpoint.pacer, start.sample_rate)
                call.put_on(line)
                call.begin()
                self._call, self._line = call, line
                self._outbox.put(
                    {"type": "started", "session_id": call.id, "conversation_id": call.options.conversation_id}
                )
                line.open()
        except CallsFullError as full:
            raise self._full(full) from None

    def _full(self, full: CallsFullError) -> ApiError:
        code, wait = ("draining", DRAIN_RETRY_S) if isinstance(full, DrainingError) else ("no_capacity", RETRY_S)
        return ApiError(503, code, f"{full}; try again in {wait} seconds")

    def _hear(self, data: bytes) -> None:
        _, line = self._open()
        try:
            line.receive(data)
        except IntakeFullError as full:
            raise ApiError(413, "too_far_ahead", str(full)) from None

    def _started(self) -> tuple[Call, SocketLine]:
        if self._call is None or self._line is None:
            message = 'The first message starts a session: {"type": "start", "user_id": "..."}'
            raise ApiError(409, "not_started", message)
        return self._call, self._line

    def _open(self) -> tuple[Call, SocketLine]:
        call, line = self._started()
        if line.stopped:
            raise ApiError(409, "stopped", "After stop nothing more is taken; what was said is still answered")
        return call, line
