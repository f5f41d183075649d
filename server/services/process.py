"""One service in a process of its own: an engine or two, a port, no calls."""

from dataclasses import dataclass, replace

import structlog
from aiohttp import web

from pipeline.engines.protocols import Engines
from server.application import Parts, application, metrics_application
from server.engines.watched import watched
from server.http.guard import Access
from server.http.server import Doors, settled_memory
from server.http.tls import Certificate
from server.memory.door import MemoryDoor
from server.observability.metrics import Metrics
from server.observability.sources import ServerCollector
from server.roles import port_of
from server.services.access import build_access
from server.services.doors import certificate_of, closed, open_doors
from server.services.draining import RequestDrain
from server.services.routes import SERVICE_ROUTES
from server.settings import Settings
from server.speech.cache import cached_speech
from server.speech.speech import SpeechDesk
from server.transcription.wiring import add_transcription

log = structlog.get_logger(__name__)


def build_service(service: str, parts: Parts) -> web.Application:
    """The HTTP application of one service: "llm", "tts" or "stt"."""
    app = application(service, parts, SERVICE_ROUTES[service])
    if service == "stt":
        add_transcription(app, streams=True)
    return app


@dataclass(slots=True)
class ServiceServer:
    """A running service.

    Attributes:
        settings: the effective ones; their role is the service.
        memory: a cache and buffers in the configured databases; none without any.
        url: where it listens.
        certificate: of its port; None where it speaks http.
    """

    settings: Settings
    memory: MemoryDoor
    url: str
    _doors: Doors
    _drain: RequestDrain
    _desk: SpeechDesk | None
    _access: Access
    certificate: Certificate | None

    @classmethod
    async def start(cls, settings: Settings, engines: Engines) -> "ServiceServer":
        """Open the port and memory, and warm the engines up; ready when it returns.

        Raises:
            OSError: the port cannot be bound.
            server.http.tls.CertificateError: the certificate cannot be used.
        """
        service: str = settings.role
        certificate = certificate_of(settings)
        engines, watches = watched(engines)
        memory, metrics, drain, desk = MemoryDoor(settings), Metrics(), RequestDrain(), None
        if "tts" in engines.all():
            speech = cached_speech(settings, engines.tts, memory)
            engines, desk = replace(engines, tts=speech), SpeechDesk(speech)
        metrics.registry.register(ServerCollector(engines, memory, watches))
        access = build_access(settings, memory, metrics)
        parts = Parts(settings, engines, watches, memory, metrics, access, desk)
        app = build_service(service, parts)
        app.middlewares.append(drain.middleware())
        port = port_of(service, settings.port)
        listening = [(app, port)]
        if settings.metrics_port:
            listening.append((metrics_application(parts), settings.metrics_port))
        doors = open_doors(settings, listening, certificate)
        server = cls(settings, memory, doors.url(port), doors, drain, desk, access, certificate)
        try:
            await doors.open([memory.open(), *(engine.warm_up() for engine in engines.all().values())])
        except BaseException:
            await server._close()
            raise
        settled_memory()
        if certificate is not None:
            certificate.watch()
        log.info("ready", url=server.url, role=service)
        return server

    @property
    def load(self) -> int:
        """How many requests are in hand."""
        return self._drain.in_hand

    @property
    def busy(self) -> str:
        """What a stop has to wait for, in words; empty for nothing."""
        return f"{self._drain.in_hand} requests" if self._drain.in_hand else ""

    async def stop(self, drain_s: float = 0.0) -> None:
        """Let requests end for a while, end the rest, and free everything but the engines."""
        await self._drain.finish(drain_s)
        await self._close()

    async def hurry(self) -> None:
        """End what a stop waits for."""
        self._drain.hurry()

    async def _close(self) -> None:
        await self._doors.close()
        await closed(self.certificate)
        self._access.close()
        if self._desk is not None:
            await self._desk.close()
        await self.memory.close()
