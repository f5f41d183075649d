"""`/ws/audio`: a call over a WebSocket."""

from aiohttp import web

from server.bounds import MAX_SOCKET_MESSAGE
from server.calls.websocket.session import AudioSession
from server.http.operation import Answer, operation
from server.http.uninterrupted import to_the_end
from server.http.web_socket import open_socket

routes = web.RouteTableDef()


@routes.get("/ws/audio")
@operation("calls", scope="calls", cost="call", answers={101: Answer("A WebSocket")}, errors=(400,), socket=True)
async def audio_socket(request: web.Request) -> web.StreamResponse:
    """A call in plain samples, for clients without WebRTC.

    The first message is {"type":"start","user_id","language"?,"conversation_id"?,"voice"?,"instructions"?,
    "sample_rate"?}, answered by {"type":"started","session_id","conversation_id"}; the session is a call like others
    in /api/calls. Binary messages are audio (s16le mono, 16000 Hz if sample_rate does not say otherwise), as is
    {"type":"audio","data": base64}. Also {"type":"text","text"}, {"type":"interrupt"} (be silent), {"type":"ping"} and
    {"type":"stop"}: nothing more comes, what was said is still answered, then the session ends. Back come "transcript"
    (text, final; a later one with the same item_id replaces it), "response_text" (text: the next words), "audio_start"
    (sample_rate, format), binary audio as it is to be heard, "audio_end", "response_done" or "interrupted" (text: what
    was heard; drop what is not played yet), "state", "latency", "error" (error: code, message) and "ended" (reason).
    """
    expected = "This address is a WebSocket; to POST audio use /api/audio"
    socket = await open_socket(request, MAX_SOCKET_MESSAGE, expected)
    session = AudioSession(request, socket)
    try:
        await session.run()
    finally:
        await to_the_end(session.end())
    return socket
