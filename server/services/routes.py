"""The routes of each service, whichever process serves it."""

from aiohttp import web

from server.http import tickets
from server.services import llm, stt, stt_streams, tts
from server.v1 import chat as v1_chat
from server.v1 import embeddings as v1_embeddings
from server.v1 import models as v1_models
from server.v1 import transcriptions as v1_transcriptions

CHAT_ROUTES = (v1_chat.routes, v1_embeddings.routes, v1_models.routes)

SERVICE_ROUTES: dict[str, tuple[web.RouteTableDef, ...]] = {
    "llm": (llm.routes, *CHAT_ROUTES, tickets.routes),
    "tts": (tts.routes, tickets.routes),
    "stt": (stt.routes, stt_streams.routes, v1_transcriptions.routes, tickets.routes),
}
