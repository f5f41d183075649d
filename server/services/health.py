"""How a service does."""

from aiohttp import web

from server.application import ENGINES
from server.version import version


def service_health(request: web.Request, role: str) -> web.Response:
    """The report on the engine of one role.

    Args:
        request: to a service.
        role: "llm", "tts" or "stt".
    """
    engine = request.app[ENGINES].all()[role]
    return web.json_response(
        {
            "status": "ok",
            "service": role,
            "version": version(),
            "engine": engine.name,
            "model": engine.model,
            "kind": engine.kind,
        }
    )
