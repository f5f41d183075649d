"""An OpenAI-compatible language model on loopback that hangs, dribbles, sends rubbish or closes when told to."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal

from aiohttp import web

Mode = Literal["well", "hangs", "dribbles", "rubbish", "closes", "fails"]

WORDS = ("It", " is", " a", " fine", " day", " for", " a", " walk", " in", " the", " park", ".")
DRIBBLE_S = 2.0

RUBBISH: tuple[bytes, ...] = (
    b"<html><body>502 Bad Gateway</body></html>",
    b"data: {not json}\n\n",
    b"data: null\n\ndata: []\n\ndata: 7\n\n",
    b'data: {"choices": null}\n\n',
    b'data: {"choices": [{"delta": null}]}\n\ndata: {"choices": [{}]}\n\ndata: {"choices": "x"}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": 7}}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": "x", "function": null}]}}]}\n\n',
    b'data: {"error": {"message": "out of memory"}}\n\n',
    b"data: " + b"[" * 20_000 + b"\n\n",
    bytes(range(256)) * 40,
    b"",
)
"""Bodies of an answer with status 200."""


class BrokenUpstream:
    """Answers as `mode` says.

    Attributes:
        mode: of the next requests.
        url: for `MORGAN_LLM_BASE_URL`.
    """

    def __init__(self) -> None:
        self.mode: Mode = "well"
        self.url = ""
        self._rubbish = itertools.cycle(RUBBISH)
        self._numbers = itertools.count(1)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["BrokenUpstream"]:
        """Listen on a free port of loopback."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body, mode = await request.json(), self.mode
        if not body.get("stream"):
            mode = "well"
        answer: dict[Mode, Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]] = {
            "well": self._well,
            "hangs": self._hang,
            "dribbles": self._dribble,
            "rubbish": self._talk_rubbish,
            "closes": self._close,
            "fails": self._fail,
        }
        return await answer[mode](request, body)

    async def _well(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        # No two replies are the same, so that none is mistaken for another in the database.
        words = [*WORDS[:-1], f" {next(self._numbers)}", WORDS[-1]]
        if not body.get("stream"):
            message = {"role": "assistant", "content": "".join(words)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return web.json_response({"id": "c", "object": "chat.completion", "choices": [choice]})
        response = await _events(request)
        for word in words:
            await response.write(_chunk({"content": word}))
        await response.write(_chunk({}, "stop") + b"data: [DONE]\n\n")
        return response

    async def _hang(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError("nobody wakes it")

    async def _dribble(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await _events(request)
        for word in itertools.cycle(WORDS):
            await asyncio.sleep(DRIBBLE_S)
            await response.write(_chunk({"content": word}))
        return response

    async def _talk_rubbish(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await _events(request)
        await response.write(next(self._rubbish) or b"\n")
        return response

    async def _close(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await _events(request)
        await response.write(_chunk({"content": "It"}))
        if request.transport is not None:
            request.transport.abort()
        return response

    async def _fail(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": "overloaded"}}, status=529)


async def _events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    return response


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(told)}\n\n".encode()
