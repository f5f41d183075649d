"""What every HTTP application of Morgan has, whichever routes it serves."""

from collections.abc import Iterable

from aiohttp import web

from pipeline.engines.protocols import Engines
from server.access import guard
from server.errors import errors_as_json
from server.memory_door import MEMORY, MemoryDoor
from server.routes import page
from server.settings import Settings

ENGINES: web.AppKey[Engines] = web.AppKey("engines", Engines)
SETTINGS: web.AppKey[Settings] = web.AppKey("settings", Settings)


def application(
    settings: Settings, engines: Engines, memory: MemoryDoor, routes: Iterable[web.RouteTableDef]
) -> web.Application:
    """An application with errors as JSON, keys, and the parts that handlers ask for."""
    keys = [key.get_secret_value() for key in settings.api_keys]
    app = web.Application(middlewares=[page.security_headers, errors_as_json, guard(keys)])
    app[ENGINES], app[SETTINGS], app[MEMORY] = engines, settings, memory
    for table in routes:
        app.add_routes(table)
    return app
