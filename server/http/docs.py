"""`/openapi.json` and `/docs`: the API describes itself, for programs and for people."""

import json

from aiohttp import web

from server.http.openapi import describe
from server.http.operation import Answer, operation
from server.http.page import STATIC

DESCRIPTION: web.AppKey[bytes] = web.AppKey("description", bytes)

routes = web.RouteTableDef()


def add_description(app: web.Application, service: str, *, keys: bool) -> None:
    """Describe an application once all its routes are there.

    Args:
        app: with its routes.
        service: "core", "llm", "tts" or "stt".
        keys: whether requests need one.
    """
    app[DESCRIPTION] = json.dumps(describe(app, service, keys=keys), ensure_ascii=False).encode()


@routes.get("/openapi.json")
@operation("operations", answers={200: Answer("An OpenAPI 3.1 document", content=("application/json",))}, open=True)
async def show_description(request: web.Request) -> web.Response:
    """This description."""
    return web.Response(body=request.app[DESCRIPTION], content_type="application/json")


@routes.get("/docs")
@operation("operations", answers={200: Answer("A page", content=("text/html",))}, open=True)
async def show_docs(_: web.Request) -> web.FileResponse:
    """The description as a page to read and to try out."""
    return web.FileResponse(STATIC / "docs.html", headers={"Cache-Control": "no-cache"})
