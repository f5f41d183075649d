"""The speech synthesis as a service of its own."""

from aiohttp import web

from server.services.health import service_health

routes = web.RouteTableDef()


@routes.get("/health")
async def health(request: web.Request) -> web.Response:
    """200 while the service answers."""
    return service_health(request, "tts")
