"""Paths with a slash too many: a base URL that ends with one, and a client that begins every path with one."""

import re

from aiohttp import web

from server.http.errors import Handler
from server.http.upstream import handled_again

_SEVERAL = re.compile("/{2,}")


@web.middleware
async def single_slashes(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer `//v1//models` as `/v1/models`. No redirect: many clients follow none with a body, browsers none here.

    The first of the middlewares, so that whatever looks at a path sees the one that is answered.
    """
    path = request.rel_url.raw_path
    if "//" not in path:
        return await handler(request)
    merged = _SEVERAL.sub("/", path)
    query = request.rel_url.raw_query_string
    return await handled_again(request, f"{merged}?{query}" if query else merged)
