"""What every HTTP application of Morgan has, whichever routes it serves."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from aiohttp import web

from media.byte_budget import ByteBudget
from media.decoder_pool import DecoderPool
from pipeline.engines.protocols import Engines
from server.app_keys import DECODERS, ENGINES, SERVICE, SETTINGS, WATCHES
from server.bounds import MAX_HELD
from server.engines.watch import Watches
from server.http import docs, metrics, page
from server.http.body_deadline import in_time
from server.http.cors import Origins, add_cors_headers, only_ours
from server.http.errors import errors_as_json
from server.http.guard import ACCESS, Access, guard
from server.http.held_bytes import counting
from server.http.operation import Cost
from server.http.proxies import PROXIES, Proxies
from server.http.rate_limits import limited
from server.http.request_metrics import counted
from server.http.slashes import single_slashes
from server.http.tickets import TICKETS
from server.identity.tokens import TOKENS
from server.memory.door import MEMORY, MemoryDoor
from server.observability.metrics import Metrics
from server.settings import Settings
from server.speech.speech import DESK, SpeechDesk


@dataclass(frozen=True, slots=True)
class Parts:
    """What the applications of one server share.

    Attributes:
        settings: the effective ones.
        engines: loaded.
        watches: how they do, by role.
        memory: what outlives calls.
        metrics: what is counted.
        access: who is let in.
        desk: takes orders for speech; None where no voice is served.
        decoders: of what clients upload; their budget counts all that is held of requests.
    """

    settings: Settings
    engines: Engines
    watches: Watches
    memory: MemoryDoor
    metrics: Metrics
    access: Access
    desk: SpeechDesk | None
    decoders: DecoderPool = field(default_factory=lambda: DecoderPool(ByteBudget(MAX_HELD)))


def application(service: str, parts: Parts, routes: Iterable[web.RouteTableDef]) -> web.Application:
    """An application with errors as JSON, keys, and the parts that handlers ask for.

    Args:
        service: "core", "llm", "tts" or "stt".
        parts: shared with the server's other applications.
        routes: its own; what all have comes by itself.
    """
    settings = parts.settings
    guarded = parts.access.guarded
    limits: dict[Cost, int] = {"call": settings.calls_per_minute, "work": settings.requests_per_minute}
    quotas: dict[Cost, int | None] = {"call": settings.calls_per_day, "work": settings.requests_per_day}
    origins = Origins(settings.allowed_origins, local_only=not guarded)
    app = web.Application(
        middlewares=[
            single_slashes,
            counted(service, parts.metrics),
            errors_as_json,
            only_ours(origins),
            guard(parts.access),
            limited(limits, parts.memory.redis, per_day=quotas, spare_cores=service != "core"),
            in_time(),
            counting(parts.decoders.budget),
        ]
    )

    async def finish(request: web.Request, response: web.StreamResponse) -> None:
        """Streams too get their headers here: they are on their way before a middleware sees them."""
        await page.security_headers(request, response)
        await add_cors_headers(request, response, origins)

    app.on_response_prepare.append(finish)
    app[PROXIES] = Proxies(settings.trusted_proxies, settings.proxy_header)
    app[SERVICE], app[SETTINGS], app[MEMORY] = service, settings, parts.memory
    app[ENGINES], app[WATCHES], app[metrics.METRICS] = parts.engines, parts.watches, parts.metrics
    app[DECODERS], app[ACCESS], app[TOKENS] = parts.decoders, parts.access, parts.access.tokens
    if parts.desk is not None:
        app[DESK] = parts.desk
    if service != "core":
        app[TICKETS] = {}
    for table in (*routes, metrics.routes, docs.routes):
        app.add_routes(table)
    app.router.add_get("/static/{name:.+}", page.static_file)
    docs.add_description(app, service, keys=guarded)
    return app


def metrics_application(parts: Parts) -> web.Application:
    """Nothing but `/metrics`, without a key: for a port that only the monitoring can reach."""
    app = web.Application(middlewares=[errors_as_json])
    app[metrics.METRICS] = parts.metrics
    app.add_routes(metrics.routes)
    return app
