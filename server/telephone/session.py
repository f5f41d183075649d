"""One connection of a telephone bridge to `/ws/media-stream`, until its call is over."""

from aiohttp import web

from server.calls.websocket.call_socket import CallSocket
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


class BridgeSession(CallSocket):
    """Serves one bridge.

    Args:
        request: that became the WebSocket.
        socket: prepared.
        dialect: of the bridge.
        desk: of the server.
    """

    refusals = frozenset({404, 503})

    def __init__(
        self, request: web.Request, socket: web.WebSocketResponse, dialect: Dialect, desk: TelephoneDesk
    ) -> None:
        super().__init__(request, socket)
        self._dialect = dialect
        self._desk = desk
        self._line: TelephoneLine | None = None
        self._first = True

    async def _apply(self, text: str) -> bool:
        """See `CallSocket`."""
        first, self._first = self._first, False
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
                return False
            case NothingCame():
                pass
        return True

    def _hear(self, data: bytes) -> None:
        """See `CallSocket`."""
        if self._dialect.to_media is not None:
            raise ApiError(400, "binary_message", "This dialect has its sound in messages of text, as base64")
        self._begun().hear(data)

    async def _begin(self, began: LineBegan) -> None:
        if self.call is not None:
            raise ApiError(409, "already_started", "This connection has its call; open another one for another")
        request = self._request
        wishes = LineWishes.of(began.parameters)
        if wishes.language:
            wishes.language = await request.app[TRANSCRIBER].language(wishes.language) or ""
        user_id = acting_user(request, wishes.user_id or self._desk.user_of(began.caller))
        self.call, self._line = await open_line(
            self._desk,
            principal_of(request),
            client_of(request),
            user_id,
            wishes,
            began.call_id,
            began.wire,
            lambda: StreamCarrier(self._outbox, self._dialect, began),
        )

    def _tell(self, refused: ApiError) -> None:
        """See `CallSocket`."""
        self._outbox.put({self._dialect.kind: "error", **refused.body()})

    def _begun(self) -> TelephoneLine:
        if self._line is None:
            raise ApiError(409, "not_started", "The first message but for a greeting begins a call")
        return self._line
