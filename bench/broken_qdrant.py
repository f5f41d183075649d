"""A stand-in for a Qdrant server on loopback that hangs, refuses writes or is gone when told to.

It answers what `persistence.vectors.qdrant_server` asks as Qdrant 1.x does, and searches by looking at every point.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Literal

import numpy as np
from aiohttp import web

QdrantMode = Literal["well", "hangs", "refuses"]

Conditions = dict[str, Any]


class BrokenQdrant:
    """Answers as `mode` says.

    Attributes:
        mode: of the next requests.
        points: by id: vector and payload; None while there is no collection.
        writes: that it was asked for.
        url: for `MORGAN_QDRANT_URL`; the same after `cut` and `listen`.
    """

    def __init__(self) -> None:
        self.mode: QdrantMode = "well"
        self.points: dict[str, dict[str, Any]] | None = None
        self.writes = 0
        self._port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["BrokenQdrant"]:
        """Listen on a free port of loopback."""
        await self.listen()
        try:
            yield self
        finally:
            await self.cut()

    async def listen(self) -> None:
        """Be there, on the port of before if there was one."""
        app = web.Application()
        app.router.add_get("/collections", self._collections)
        app.router.add_get("/collections/{name}/exists", self._exists)
        app.router.add_put("/collections/{name}", self._make)
        app.router.add_delete("/collections/{name}", self._drop)
        app.router.add_put("/collections/{name}/index", self._index)
        app.router.add_put("/collections/{name}/points", self._upsert)
        app.router.add_post("/collections/{name}/points/{work:delete|query|count}", self._work)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def cut(self) -> None:
        """Be gone: nobody listens, and every connection is broken."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    async def _collections(self, request: web.Request) -> web.Response:
        await self._in_mode()
        return _told({"collections": [] if self.points is None else [{"name": "morgan_messages"}]})

    async def _exists(self, request: web.Request) -> web.Response:
        await self._in_mode()
        return _told({"exists": self.points is not None})

    async def _make(self, request: web.Request) -> web.Response:
        await self._in_mode(writes=True)
        if self.points is not None:
            problem = '{"status":{"error":"Wrong input: Collection `morgan_messages` already exists!"},"time":0.0}'
            raise web.HTTPConflict(text=problem, content_type="application/json")
        self.points = {}
        return _told(True)

    async def _drop(self, request: web.Request) -> web.Response:
        await self._in_mode(writes=True)
        self.points = None
        return _told(True)

    async def _index(self, request: web.Request) -> web.Response:
        await self._in_mode(writes=True)
        return _told({"operation_id": 1, "status": "completed"})

    async def _upsert(self, request: web.Request) -> web.Response:
        await self._in_mode(writes=True)
        points = self._there()
        for point in (await request.json())["points"]:
            points[point["id"]] = {"vector": point["vector"], "payload": point["payload"]}
        return _told({"operation_id": 1, "status": "completed"})

    async def _work(self, request: web.Request) -> web.Response:
        work, asked = request.match_info["work"], await request.json()
        await self._in_mode(writes=work == "delete")
        points = self._there()
        found = [each for each, point in points.items() if _fits(each, point["payload"], asked.get("filter") or {})]
        if work == "count":
            return _told({"count": len(found)})
        if work == "delete":
            for gone in asked.get("points") or found:
                points.pop(gone, None)
            return _told({"operation_id": 1, "status": "completed"})
        nearest = asked["query"]["nearest"]
        scores = {each: float(np.dot(nearest, points[each]["vector"])) for each in found}
        best = sorted(found, key=lambda each: -scores[each])[: asked["limit"]]
        told = [{"id": each, "version": 1, "score": scores[each], "payload": points[each]["payload"]} for each in best]
        return _told({"points": told})

    async def _in_mode(self, *, writes: bool = False) -> None:
        self.writes += writes
        if self.mode == "hangs":
            await asyncio.Event().wait()
        if self.mode == "refuses" and writes:
            problem = '{"status":{"error":"Service internal error: No space left on device"},"time":0.0}'
            raise web.HTTPInternalServerError(text=problem, content_type="application/json")

    def _there(self) -> dict[str, dict[str, Any]]:
        if self.points is None:
            problem = '{"status":{"error":"Not found: Collection `morgan_messages` doesn\'t exist!"},"time":0.0}'
            raise web.HTTPNotFound(text=problem, content_type="application/json")
        return self.points


def _told(result: object) -> web.Response:
    return web.json_response({"result": result, "status": "ok", "time": 0.001})


def _fits(identity: str, payload: dict[str, Any], wanted: Conditions) -> bool:
    return all(_holds(identity, payload, each) for each in wanted.get("must") or []) and not any(
        _holds(identity, payload, each) for each in wanted.get("must_not") or []
    )


def _holds(identity: str, payload: dict[str, Any], condition: Conditions) -> bool:
    if "has_id" in condition:
        return identity in condition["has_id"]
    match = condition["match"]
    there = payload.get(condition["key"])
    return bool(there in match["any"] if "any" in match else there == match["value"])
