"""The composition root: builds engines, media and doors from the settings, runs them, takes them down in order."""

import asyncio
import gc
import time
from dataclasses import dataclass, replace

import structlog
from aiohttp import web

from media.endpoint import MediaEndpoint
from media.values import MediaConfig
from pipeline.call.options import CallOptions
from pipeline.engines.protocols import Engines, TextToSpeech
from pipeline.tools.toolbox import NO_TOOLS, Toolbox
from server.access import WrongKeys
from server.application import Parts, application, metrics_application
from server.calls import CallRegistry
from server.http_server import HttpRunner
from server.memory_door import MemoryDoor
from server.metrics import Metrics
from server.metrics_sources import ServerCollector
from server.routes import (
    calls,
    conversations,
    health,
    memory,
    page,
    recordings,
    text,
    users,
    v1_chat,
    v1_embeddings,
    v1_models,
    v1_speech,
    v1_transcriptions,
)
from server.services import llm, stt, stt_streams, tts
from server.settings import Settings
from server.speech.cache import CachedSpeech
from server.speech.speech import SpeechDesk
from server.tools import build_toolbox
from server.transcription.wiring import add_transcription
from server.version import version
from server.watched_engines import watched

CHAT = (v1_chat.routes, v1_embeddings.routes, v1_models.routes)

SERVICES = {
    "llm": (llm.routes, *CHAT),
    "tts": (tts.routes,),
    "stt": (stt.routes, stt_streams.routes, v1_transcriptions.routes),
}
"""Routes of each service; they listen on the ports after the core's, in this order."""

SWITCH_INTERVAL_S = 0.001
"""For this long at most another thread holds the interpreter's lock before the media thread gets it."""

log = structlog.get_logger(__name__)


def media_config(settings: Settings) -> MediaConfig:
    """The media endpoint's share of the settings."""
    return MediaConfig(
        host="127.0.0.1" if settings.media_address == "localhost" else settings.media_address,
        port=settings.media_port,
        public_addresses=settings.public_ip,
        connect_timeout_s=settings.connect_timeout_s,
        bitrate=settings.opus_bitrate,
        # A call that moves to a new connection has two for a moment.
        max_peers=settings.max_calls * 2,
    )


def call_options(settings: Settings, tools: Toolbox = NO_TOOLS) -> CallOptions:
    """What calls are like that do not say otherwise."""
    return CallOptions(
        language=settings.language,
        instructions=settings.instructions,
        greeting=settings.greeting,
        idle_prompt=settings.idle_prompt,
        apology=settings.apology,
        max_tokens=settings.llm_max_tokens,
        temperature=settings.llm_temperature,
        interim=settings.interim_transcripts,
        speculate=settings.speculate,
        turn_taking=settings.turn_taking,
        tools=tools,
    )


def cached_speech(settings: Settings, tts: TextToSpeech, memory: MemoryDoor) -> CachedSpeech:
    """The voice with the cache in front of it."""
    made_by = f"{tts.name} {tts.model} {settings.tts_base_url or ''} morgan {version()}"
    return CachedSpeech(tts, made_by, lambda: memory.memory.tts if memory.memory else None)


def build_app(parts: Parts, registry: CallRegistry) -> web.Application:
    """The core's HTTP application over the calls and what is remembered of them."""
    modules = (calls, conversations, memory, recordings, users, text, health, page, v1_speech, v1_transcriptions)
    tables = (*(module.routes for module in modules), *CHAT)
    app = application("core", parts, tables)
    app[calls.REGISTRY] = registry
    app[health.STARTED] = time.monotonic()
    add_transcription(app, streams=False)
    return app


def build_service(role: str, parts: Parts) -> web.Application:
    """The HTTP application of one service: "llm", "tts" or "stt"."""
    app = application(role, parts, SERVICES[role])
    if role == "stt":
        add_transcription(app, streams=True)
    return app


@dataclass(slots=True)
class Server:
    """A running Morgan.

    Attributes:
        settings: the effective ones.
        registry: the calls.
        memory: what outlives them.
        url: where the page is.
    """

    settings: Settings
    registry: CallRegistry
    memory: MemoryDoor
    url: str
    _runners: list[HttpRunner]
    _desk: SpeechDesk

    @classmethod
    async def start(cls, settings: Settings, engines: Engines) -> "Server":
        """Open the ports and memory, and warm the engines up; ready for calls when it returns.

        Raises:
            OSError: a TCP port cannot be bound.
            media.values.PortInUseError: the UDP port is taken.
            pipeline.tools.errors.ToolSetupError: a declared tool cannot be used.
        """
        options = call_options(settings, build_toolbox(settings, engines.llm))
        endpoint = await MediaEndpoint.open(media_config(settings))
        engines, watches = watched(engines)
        memory, metrics = MemoryDoor(settings, engines.embedder), Metrics()
        speech = cached_speech(settings, engines.tts, memory)
        engines, desk = replace(engines, tts=speech), SpeechDesk(speech)
        registry = CallRegistry(engines, endpoint, memory, metrics, options, settings.max_calls, settings.lost_grace_s)
        metrics.registry.register(ServerCollector(registry, memory, watches))
        parts = Parts(settings, engines, watches, memory, metrics, WrongKeys(settings.wrong_keys_per_minute), desk)
        apps = [build_app(parts, registry), *(build_service(role, parts) for role in SERVICES)]
        ports = [settings.port + offset for offset in range(len(apps))]
        if settings.metrics_port:
            apps.append(metrics_application(parts))
            ports.append(settings.metrics_port)
        runners = [HttpRunner(app) for app in apps]
        try:
            for runner in runners:
                await runner.setup()
            async with asyncio.TaskGroup() as starting:
                starting.create_task(memory.open())
                for engine in engines.all().values():
                    starting.create_task(engine.warm_up())
            for runner, port in zip(runners, ports, strict=True):
                await web.TCPSite(runner, settings.host, port).start()
        except BaseException as error:
            await _cleanup(runners)
            await asyncio.gather(endpoint.close(), desk.close(), options.tools.close())
            await memory.close()
            raise _first(error) from None
        # What was loaded stays for good: keep the collector from walking through it while a call waits.
        gc.collect()
        gc.freeze()
        url = f"http://{'localhost' if settings.host in ('127.0.0.1', '0.0.0.0') else settings.host}:{settings.port}"  # noqa: S104
        memory.announce(url)
        memory.sample(metrics)
        fixed = (options.greeting, options.apology, options.idle_prompt, options.tools.filler)
        registry.spawn(speech.prefetch(fixed))
        log.info("ready", url=url, media_port=endpoint.port)
        return cls(settings, registry, memory, url, runners, desk)

    @property
    def apps(self) -> list[web.Application]:
        """The application on each port: core, llm, tts, stt, and that of the metrics where it has one."""
        return [runner.app for runner in self._runners]

    async def stop(self, drain_s: float = 0.0) -> None:
        """Let calls end for a while, end the rest, and free everything but the engines."""
        await self.registry.drain(drain_s)
        await self.registry.close()
        await _cleanup(self._runners)
        tools = self.registry.defaults.tools
        await asyncio.gather(self.registry.endpoint.close(), self._desk.close(), tools.close())
        # Last: what the calls said at their end is still to be written down.
        await self.memory.close()


async def _cleanup(runners: list[HttpRunner]) -> None:
    await asyncio.gather(*(runner.cleanup() for runner in runners))


def _first(error: BaseException) -> BaseException:
    """What went wrong, out of the group that it came in: whoever starts a server knows engines' and ports' errors."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
