"""`WS /v1/realtime`: a call as events and base64 audio, or a seat beside one that there is."""

from aiohttp import WSMsgType, web

from pipeline.call.actor import BROKEN
from server.bounds import MAX_REALTIME_EVENT, MAX_REALTIME_WAITING
from server.calls.call import Call
from server.calls.registry import CallsFullError
from server.calls.requests import registry
from server.calls.webrtc_line import WebRtcLine
from server.calls.websocket.send_queue import SocketOutbox
from server.http.errors import ApiError
from server.http.rate_limits import client_of
from server.http.uninterrupted import to_the_end
from server.http.web_socket import open_socket
from server.realtime.channel_talk import SessionTalk
from server.realtime.openings import beginning_of
from server.realtime.session import RealtimeSession
from server.realtime.session_config import SessionConfig
from server.realtime.sideband import MOST, Sideband, not_binary
from server.realtime.socket_line import RealtimeLine
from server.routes.calls import no_capacity

PROTOCOL = "realtime"
"""Of those that a browser offers; the others carry its key, and the version of its SDK."""


async def prepared(request: web.Request) -> web.WebSocketResponse:
    """The WebSocket.

    Raises:
        ApiError: 400, the request is for none.
    """
    expected = "This address is a WebSocket; WebRTC begins at /v1/realtime/calls"
    return await open_socket(request, 2 * MAX_REALTIME_EVENT, expected, (PROTOCOL,))


async def serve_call(request: web.Request, config: SessionConfig) -> web.WebSocketResponse:
    """A call over this WebSocket, until it ends.

    Raises:
        ApiError: 503, no further call can be taken now; 404 as `beginning_of`.
    """
    calls, client = registry(request), client_of(request)
    try:
        calls.check(client)
    except CallsFullError as full:
        raise no_capacity(full) from None
    beginning, options = await beginning_of(request, config)
    socket = await prepared(request)
    outbox = SocketOutbox(request, socket, MAX_REALTIME_WAITING)
    try:
        async with calls.reserve(beginning, client, **options) as call:
            line = RealtimeLine(call, config, outbox, calls.endpoint.pacer)
            call.put_on(line)
            call.begin()
            line.open()
    except CallsFullError as full:
        # Between the check and here somebody else has taken the last line.
        outbox.put({"type": "error", "event_id": "event_0", "error": {"type": "server_error", "message": str(full)}})
        await outbox.close(1013, "no_capacity")
        return socket
    except BaseException:
        # It may have failed before the call had its line, which closes it else.
        await to_the_end(outbox.close(1011, BROKEN))
        raise
    reason = "lost"
    try:
        reason = await _listen(socket, line)
    finally:
        await to_the_end(call.end(reason))
    return socket


async def _listen(socket: web.WebSocketResponse, line: RealtimeLine) -> str:
    """Take events; returns why there are no more."""
    while True:
        message = await socket.receive()
        if message.type is WSMsgType.TEXT:
            line.receive(message.data, MAX_REALTIME_EVENT)
        elif message.type is WSMsgType.BINARY:
            line.session.refuse(not_binary(), None, line)
        else:
            return "hangup" if message.type is WSMsgType.CLOSE else "lost"


def session_of(call: Call) -> RealtimeSession:
    """The session of a call.

    Raises:
        ApiError: 409, it has none.
    """
    line = call.line.talk if isinstance(call.line, WebRtcLine) else call.line
    if isinstance(line, (SessionTalk, RealtimeLine)) and call.has_begun:
        return line.session
    raise ApiError(409, "no_session", "This call has no Realtime session: it is on /ws/audio, or not begun yet")


async def serve_sideband(request: web.Request, call: Call) -> web.WebSocketResponse:
    """A seat beside a call, until either ends.

    Raises:
        ApiError: 409 it has no session, 429 too many sit there.
    """
    session = session_of(call)
    if session.beside >= MOST:
        raise ApiError(429, "too_many_sidebands", f"At most {MOST} connections beside a call")
    session.beside += 1
    try:
        socket = await prepared(request)
        await Sideband(request, socket, session).run()
    finally:
        session.beside -= 1
    return socket
