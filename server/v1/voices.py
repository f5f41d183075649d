"""`/v1/audio/voices` and `/v1/audio/models`: what chat front ends and the call page ask for beside OpenAI's."""

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


class AudioModel(BaseModel):
    """A voice's model, as chat front ends list them."""

    id: str
    name: str


class AudioModels(BaseModel):
    """Models that `/v1/audio/speech` speaks with."""

    models: list[AudioModel]


@routes.get("/v1/audio/voices")
@operation("openai", scope="calls", answers={200: Answer("The voices", Voices)})
async def list_voices(request: web.Request) -> web.Response:
    """The voices that are loaded."""
    voices = [
        Voice(id=each.id, name=each.name, language=each.language) for each in registry(request).engines.tts.voices
    ]
    return web.json_response(Voices(voices=voices).model_dump())


@routes.get("/v1/audio/models")
@operation("openai", scope="speech", answers={200: Answer("The models", AudioModels)})
async def list_audio_models(request: web.Request) -> web.Response:
    """List the models that speak, as open-webui and others ask for them; `/v1/audio/voices` lists the voices."""
    tts = registry(request).engines.tts
    return web.json_response(AudioModels(models=[AudioModel(id=tts.model, name=tts.model)]).model_dump())
