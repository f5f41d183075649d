"""What every HTTP application of Morgan has, whichever routes it serves."""

from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web

from pipeline.engines.protocols import Engines
from server.access import guard
from server.engine_watch import Watches
from server.errors import errors_as_json
from server.memory_door import MEMORY, MemoryDoor
from server.metrics import Metrics
from server.routes import metrics, page
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
        desk: takes orders for speech.
    """

    settings: Settings
    engines: Engines
    watches: Watches
    memory: MemoryDoor
    metrics: Metrics
    desk: SpeechDesk


ENGINES: web.AppKey[Engines] = web.AppKey("engines", Engines)
SETTINGS: web.AppKey[Settings] = web.AppKey("settings", Settings)
WATCHES: web.AppKey[Watches] = web.AppKey("watches", Watches)
SERVICE: web.AppKey[str] = web.AppKey("service", str)


def application(service: str, parts: Parts, routes: Iterable[web.RouteTableDef]) -> web.Application:
    """An application with errors as JSON, keys, and the parts that handlers ask for.

    Args:
        service: "core", "llm", "tts" or "stt".
        parts: shared with the server's other applications.
        routes: its own; what all have comes by itself.
    """
    keys = [key.get_secret_value() for key in parts.settings.api_keys]
    app = web.Application(middlewares=[page.security_headers, errors_as_json, guard(keys)])
    app[SERVICE], app[SETTINGS], app[MEMORY] = service, parts.settings, parts.memory
    app[ENGINES], app[WATCHES], app[metrics.METRICS] = parts.engines, parts.watches, parts.metrics
    app[DESK] = parts.desk
    for table in (*routes, metrics.routes):
        app.add_routes(table)
    return app
