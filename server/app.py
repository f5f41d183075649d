"""The composition root: builds engines, media and doors from the settings, runs them, takes them down in order."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, replace

import structlog
from aiohttp import web

from media.endpoint import MediaEndpoint
from media.values import MediaConfig
from pipeline.call.context import shared_beginning
from pipeline.call.options import CallOptions
from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.engines.protocols import Engines, LanguageModel
from pipeline.engines.speeds import EngineSpeeds, measure_speeds
from pipeline.scheduling.cores import CORES
from pipeline.scheduling.lanes import Ticket
from server.application import Parts, application, metrics_application
from server.calls.capacity import MOST, Capacity
from server.calls.defaults import call_options, fixed_phrases
from server.calls.handed_over import FILE as HANDED_FILE
from server.calls.handed_over import HandedOver
from server.calls.parts import CallParts
from server.calls.registry import CallRegistry
from server.calls.requests import REGISTRY
from server.conversations.tools import build_toolbox
from server.engines.watched import watched
from server.http import page
from server.http.server import Doors, settled_memory
from server.http.tls import Certificate
from server.memory.door import MemoryDoor
from server.observability.load_sampler import LoadSampler
from server.observability.metrics import Metrics
from server.observability.sources import ServerCollector
from server.realtime import routes as realtime
from server.realtime.channel_talk import realtime_talk
from server.roles import port_of, services_of
from server.routes import (
    admin,
    audio,
    calls,
    conversations,
    documents,
    health,
    memory,
    recordings,
    telephone,
    text,
    tokens,
    users,
    whip,
    ws_audio,
)
from server.rtvi import routes as rtvi
from server.rtvi.routes import STARTED
from server.rtvi.started import StartedSessions
from server.services.access import build_access
from server.services.doors import certificate_of, closed, open_doors
from server.services.process import build_service
from server.services.routes import CHAT_ROUTES
from server.settings import Settings
from server.speech.cache import CachedSpeech, cached_speech
from server.speech.speech import SpeechDesk
from server.telephone.audio_socket_door import AudioSocketDoor
from server.telephone.desk import DESK as TELEPHONE
from server.telephone.desk import TelephoneDesk
from server.transcription.wiring import add_transcription
from server.v1 import speech as v1_speech
from server.v1 import transcriptions as v1_transcriptions
from server.v1 import translations as v1_translations
from server.v1 import voices as v1_voices
from server.webhooks.calls import CallWebhooks
from server.webhooks.webhooks import Webhooks

SWITCH_INTERVAL_S = 0.001
"""For this long at most another thread holds the interpreter's lock before the media thread gets it."""

REQUESTS_S = 10.0
"""Behind the calls, answers in writing are given so long to be whole, within the same patience."""

DELIVERY_S = 10.0
"""At the end PostgreSQL is given so long to take what is in the journal; the rest stays there for the next start."""

HURRIED_DELIVERY_S = 0.2

log = structlog.get_logger(__name__)


def media_config(settings: Settings) -> MediaConfig:
    """The media endpoint's share of the settings."""
    return MediaConfig(
        host=settings.media_address,
        port=settings.media_port,
        public_addresses=settings.public_ip,
        connect_timeout_s=settings.connect_timeout_s,
        bitrate=settings.opus_bitrate,
        packet_ms=settings.opus_packet_ms,
        dtx=settings.opus_dtx,
        # A call that moves to a new connection has two for a moment.
        max_peers=(settings.max_calls or MOST) * 2,
    )


def build_webhooks(settings: Settings, metrics: Metrics) -> Webhooks:
    """What tells others of calls, as the settings say."""
    secret = settings.webhook_secret.get_secret_value()
    events, private = settings.webhook_events, settings.webhook_private
    return Webhooks(
        settings.webhook_urls,
        secret,
        settings.data_dir,
        metrics,
        events=events,
        private=private,
        on_disk=settings.store_text,
    )


def build_app(parts: Parts, registry: CallRegistry) -> web.Application:
    """The core's HTTP application over the calls and what is remembered of them."""
    talking = (calls, whip, rtvi, text, audio, ws_audio, realtime, telephone)
    remembered = (conversations, memory, documents, recordings, users)
    openai = (v1_speech, v1_transcriptions, v1_translations, v1_voices)
    modules = (*talking, *remembered, tokens, health, admin, page, *openai)
    tables = (*(module.routes for module in modules), *CHAT_ROUTES)
    app = application("core", parts, tables)
    app[REGISTRY] = registry
    app[TELEPHONE] = TelephoneDesk(parts.settings, registry)
    app[STARTED] = StartedSessions()
    app[health.STARTED] = time.monotonic()
    add_transcription(app, streams=False)
    return app


def listening(app: web.Application, parts: Parts) -> list[tuple[web.Application, int]]:
    """The core's application and what else the settings ask for, each with its port."""
    settings = parts.settings
    services = [
        (build_service(service, parts), port_of(service, settings.port)) for service in services_of(settings.role)
    ]
    metrics = [(metrics_application(parts), settings.metrics_port)] if settings.metrics_port else []
    return [(app, settings.port), *services, *metrics]


def build_registry(
    settings: Settings, parts: CallParts, options: CallOptions, capacity: Capacity, webhooks: Webhooks
) -> CallRegistry:
    """The calls; what is kept of them and of webhooks is erased with their users."""
    memory = parts.memory
    handed_over = HandedOver(settings.data_dir / "run" / HANDED_FILE, memory.redis)
    memory.keepers += (handed_over, webhooks)
    return CallRegistry(
        parts,
        options,
        capacity,
        lost_grace_s=settings.lost_grace_s,
        longest_s=settings.longest_call_s,
        half_open=settings.half_open_calls,
        handed_over=handed_over,
    )


def open_ports(
    parts: Parts, registry: CallRegistry, certificate: Certificate | None, opened: contextlib.AsyncExitStack
) -> tuple[Doors, AudioSocketDoor]:
    """HTTP and AudioSocket, closed again with the rest; they listen once they are told to."""
    app = build_app(parts, registry)
    doors = open_doors(parts.settings, listening(app, parts), certificate)
    opened.push_async_callback(closed, certificate)
    opened.push_async_callback(doors.close)
    pbx = AudioSocketDoor(app[TELEPHONE], guarded=parts.access.guarded)
    opened.push_async_callback(pbx.close)
    return doors, pbx


async def _warm_up(engines: Engines, capacity: Capacity) -> None:
    """One piece of work for each engine, then their speed, where the number of calls depends on it."""
    await asyncio.gather(*(engine.warm_up() for engine in engines.all().values()))
    if capacity.limit is None and capacity.speeds is None:
        capacity.speeds = await measure_speeds(engines)
        rounded = {name: round(value, 4) for name, value in capacity.speeds.figures()}
        log.info("engines measured", calls=capacity.calls(0), **rounded)


async def read_instructions(llm: LanguageModel, instructions: str) -> None:
    """Have the language model read what all calls begin with, so that no caller waits for it."""
    try:
        await llm.prefill(shared_beginning(instructions), Ticket())
    except Exception as error:  # whatever an engine raises: it is read with the first call then
        log.warning("instructions not read ahead", problem=str(error))


@dataclass(slots=True)
class DeliveryPatience:
    """How long the end of a server waits for PostgreSQL.

    Attributes:
        patience_s: seconds that it is given to take what is in the journal; few until the start has come through.
        hurried: whether the end was told not to wait.
    """

    patience_s: float = HURRIED_DELIVERY_S
    hurried: bool = False

    def hurry(self) -> None:
        """Wait no longer; what is left stays in the journal."""
        self.hurried = True
        self.patience_s = HURRIED_DELIVERY_S


@dataclass(slots=True)
class Server:
    """A running Morgan.

    Attributes:
        settings: the effective ones.
        registry: the calls.
        memory: what outlives them.
        url: where the page is.
        certificate: of its ports; None where they speak http.
        capacity: how many calls it takes.
    """

    settings: Settings
    registry: CallRegistry
    capacity: Capacity
    memory: MemoryDoor
    url: str
    certificate: Certificate | None
    _parts: Parts
    _webhooks: Webhooks
    _doors: Doors
    _pbx: AudioSocketDoor
    _speech: CachedSpeech
    _opened: contextlib.AsyncExitStack
    _delivery: DeliveryPatience

    @classmethod
    async def start(cls, settings: Settings, engines: Engines, speeds: EngineSpeeds | None = None) -> "Server":
        """Open the ports and memory, and warm the engines up; ready for calls when it returns.

        Whatever fails on the way, all that was opened is closed again, the last first.

        Args:
            settings: the effective ones.
            engines: that they ask for.
            speeds: of the engines, where they are known; measured now where they are needed and not known.

        Raises:
            OSError: a TCP port cannot be bound.
            server.http.tls.CertificateError: the certificate cannot be used.
            media.values.PortInUseError: the UDP port is taken.
            pipeline.tools.errors.ToolSetupError: a declared tool cannot be used.
        """
        async with contextlib.AsyncExitStack() as opened:
            server = await cls._build(settings, engines, speeds, opened)
            await server._begin()
            server._opened = opened.pop_all()
        server._delivery.patience_s = DELIVERY_S
        return server

    @classmethod
    async def _build(
        cls, settings: Settings, engines: Engines, speeds: EngineSpeeds | None, opened: contextlib.AsyncExitStack
    ) -> "Server":
        """Make all parts; the media port alone is open then."""
        delivery, certificate = DeliveryPatience(), certificate_of(settings)
        options = call_options(settings, build_toolbox(settings, engines.llm), speeds)
        watched_engines, watches = watched(engines)
        memory, metrics = MemoryDoor(settings, engines.embedder), Metrics()
        webhooks = build_webhooks(settings, metrics)
        told = CallWebhooks(webhooks)
        opened.push_async_callback(told.close)
        # Late: what the calls said at their end is still to be written down, and their recordings to be told of.
        opened.push_async_callback(lambda: memory.close(delivery.patience_s))
        opened.push_async_callback(options.tools.close)
        speech = cached_speech(settings, watched_engines.tts, memory)
        engines, desk = replace(watched_engines, tts=speech), SpeechDesk(speech)
        opened.push_async_callback(desk.close)
        endpoint = await MediaEndpoint.open(media_config(settings))
        opened.push_async_callback(endpoint.close)
        access = build_access(settings, memory, metrics)
        opened.callback(access.close)
        capacity = Capacity(settings.max_calls, CORES.count, speeds)
        call_parts = CallParts(engines, endpoint, memory, metrics, realtime_talk(), told)
        registry = build_registry(settings, call_parts, options, capacity, webhooks)
        opened.push_async_callback(registry.close)
        metrics.registry.register(ServerCollector(engines, memory, watches, registry))
        parts = Parts(settings, engines, watches, memory, metrics, access, desk)
        doors, pbx = open_ports(parts, registry, certificate, opened)
        shown = (registry, capacity, memory, doors.url(settings.port), certificate)
        return cls(settings, *shown, parts, webhooks, doors, pbx, speech, opened, delivery)

    async def _begin(self) -> None:
        """Open memory and the ports, warm the engines up, and begin what goes on beside the calls."""
        settings, registry, engines = self.settings, self.registry, self._parts.engines
        await self._webhooks.open()
        registry.defaults.tools.start()
        await self._doors.open([self.memory.open(), _warm_up(engines, self.capacity)])
        if settings.audio_socket_port:
            await self._pbx.open(settings.audio_socket_host, settings.audio_socket_port)
        settled_memory()
        if self.certificate is not None:
            self.certificate.watch()
        self.memory.announce(self.url)
        self.memory.sample(self._parts.metrics)
        voices = VoiceChoice(engines.tts.voices, engines.tts.default_voice)
        registry.spawn(self._speech.prefetch(fixed_phrases(settings, registry.defaults, voices)))
        registry.spawn(read_instructions(engines.llm, registry.defaults.instructions))
        sampler = LoadSampler(self._parts.metrics.recent, registry, engines.all().values())
        self._opened.push_async_callback(sampler.close)
        log.info("ready", url=self.url, media_port=registry.endpoint.port, role=settings.role)

    @property
    def apps(self) -> list[web.Application]:
        """The application on each port: core, llm, tts, stt, and that of the metrics where it has one."""
        return self._doors.apps

    @property
    def load(self) -> int:
        """How many calls there are."""
        return len(self.registry.active)

    @property
    def busy(self) -> str:
        """What a stop has to wait for, in words; empty for nothing."""
        return f"{len(self.registry.active)} calls" if self.registry.active else ""

    async def hurry(self) -> None:
        """Have a stop wait no longer: calls end now, and what waits for a database stays in the journal."""
        self._delivery.hurry()
        self.registry.hurry()

    async def stop(self, drain_s: float = 0.0) -> None:
        """Bring the calls to an end (`CallRegistry.drain`), write down all that was said, and free all but the engines.

        Args:
            drain_s: most seconds that calls may take for it.
        """
        until = time.monotonic() + drain_s
        await self.registry.drain(drain_s)
        await self.registry.close()
        await self._pbx.close()
        if not self._delivery.hurried:
            await self._doors.settle(min(REQUESTS_S, until - time.monotonic()))
        await self._opened.aclose()
