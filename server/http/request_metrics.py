"""Counts requests by route, with how they ended and how long they took."""

import asyncio
import time

from aiohttp import web
from aiohttp.typedefs import Middleware

from server.http.errors import Handler
from server.observability.metrics import Metrics

CLIENT_LEFT = 499
"""Status of a request whose client did not wait for the answer, as nginx counts them."""


def counted(service: str, metrics: Metrics) -> Middleware:
    """A middleware, the outermost one.

    Args:
        service: whose requests.
        metrics: where they are counted.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        began, status = time.monotonic(), 500
        try:
            response = await handler(request)
            status = response.status
            return response
        except web.HTTPException as error:
            status = error.status
            raise
        except (asyncio.CancelledError, ConnectionError):
            status = CLIENT_LEFT
            raise
        finally:
            resource = request.match_info.route.resource
            # What no route has comes in any spelling: it is counted as one.
            route, method = (resource.canonical, request.method) if resource else ("unknown", "any")
            metrics.request_done(service, method, route, status, time.monotonic() - began)

    return middleware
