"""The routes of each service, whichever process serves it."""

from aiohttp import web

from server import tickets
from server.routes import v1_chat, v1_embeddings, v1_models, v1_transcriptions
from server.services import llm, stt, stt_streams, tts

CHAT_ROUTES = (v1_chat.routes, v1_embeddings.routes, v1_models.routes)

SERVICE_ROUTES: dict[str, tuple[web.RouteTableDef, ...]] = {
    "llm": (llm.routes, *CHAT_ROUTES, tickets.routes),
    "tts": (tts.routes, tickets.routes),
    "stt": (stt.routes, stt_streams.routes, v1_transcriptions.routes, tickets.routes),
}
