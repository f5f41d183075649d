"""One connection to `/ws/audio`: what its client says, until there is nothing more to say."""

from aiohttp import web

from media.pcm_intake import IntakeFullError
from pipeline.call.inputs import StopReply, UserTyped
from server.calls.call import Call
from server.calls.registry import DRAIN_RETRY_S, RETRY_S, CallsFullError, DrainingError
from server.calls.requests import registry, wanted_call
from server.calls.websocket.call_socket import CallSocket
from server.calls.websocket.line import SocketLine
from server.calls.websocket.messages import Audio, Interrupt, Message, Ping, Start, Stop, Text, parse_message
from server.http.acting import named_user
from server.http.errors import ApiError
from server.http.rate_limits import client_of
from server.transcription.fields import decode_base64
from server.transcription.transcriber import TRANSCRIBER


class AudioSession(CallSocket):
    """Serves one client.

    Args:
        request: that became the WebSocket.
        socket: prepared.
    """

    what = "session"

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        super().__init__(request, socket)
        self._line: SocketLine | None = None

    async def _apply(self, text: str) -> bool:
        """See `CallSocket`."""
        await self._carry_out(parse_message(text))
        if self._line is not None:
            self._line.active()
        return True

    def _hear(self, data: bytes) -> None:
        """See `CallSocket`."""
        _, line = self._open()
        try:
            line.receive(data)
        except IntakeFullError as full:
            raise ApiError(413, "too_far_ahead", str(full)) from None
        line.active()

    def _tell(self, refused: ApiError) -> None:
        """See `CallSocket`."""
        self._outbox.put({"type": "error", **refused.body()})

    async def _carry_out(self, message: Message) -> None:
        match message:
            case Start():
                await self._start(message)
            case Ping():
                self._outbox.put({"type": "pong"})
            case Audio():
                self._hear(await decode_base64(message.data, "data"))
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
        if self.call is not None:
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
                self.call, self._line = call, line
                self._outbox.put(
                    {"type": "started", "session_id": call.id, "conversation_id": call.options.conversation_id}
                )
                line.open()
        except CallsFullError as full:
            raise self._full(full) from None

    def _full(self, full: CallsFullError) -> ApiError:
        code, wait = ("draining", DRAIN_RETRY_S) if isinstance(full, DrainingError) else ("no_capacity", RETRY_S)
        return ApiError(503, code, f"{full}; try again in {wait} seconds")

    def _started(self) -> tuple[Call, SocketLine]:
        if self.call is None or self._line is None:
            message = 'The first message starts a session: {"type": "start", "user_id": "..."}'
            raise ApiError(409, "not_started", message)
        return self.call, self._line

    def _open(self) -> tuple[Call, SocketLine]:
        call, line = self._started()
        if line.stopped:
            raise ApiError(409, "stopped", "After stop nothing more is taken; what was said is still answered")
        return call, line
