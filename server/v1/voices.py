"""`/v1/audio/voices`: what chat front ends, and the call page, ask for beside OpenAI's own routes."""

from aiohttp import web
from pydantic import BaseModel

from server.calls.requests import registry
from server.http.operation import Answer, operation

routes = web.RouteTableDef()


class Voice(BaseModel):
    """A voice that calls and `/v1/audio/speech` take."""

    id: str
    name: str
    language: str


class Voices(BaseModel):
    """The voices that are loaded."""

    voices: list[Voice]


@routes.get("/v1/audio/voices")
@operation("openai", scope="calls", answers={200: Answer("The voices", Voices)})
async def list_voices(request: web.Request) -> web.Response:
    """The voices that are loaded."""
    voices = [
        Voice(id=each.id, name=each.name, language=each.language) for each in registry(request).engines.tts.voices
    ]
    return web.json_response(Voices(voices=voices).model_dump())
