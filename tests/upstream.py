"""A small OpenAI-compatible endpoint on loopback that a test runs, and tells what to answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from aiohttp import web

Handler = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


class Server:
    """Answers with whatever the test puts into `chat` and `speech`; remembers what it was asked."""

    def __init__(self) -> None:
        self.chat: Handler = reply("Hel", "lo")
        self.speech: Handler = tone()
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.hung_up = asyncio.Event()
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/audio/speech", self._speech)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/v1"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, self.chat)

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, self.speech)

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        self.keys.append(request.headers.get("Authorization", ""))
        try:
            return await handler(request, body)
        except (asyncio.CancelledError, ConnectionError):
            self.hung_up.set()
            raise


def chunk(text: str | None = None, finish: str | None = None, usage: dict[str, int] | None = None) -> dict[str, Any]:
    choices = [] if usage else [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}]
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        "usage": usage,
    }


async def events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    return response


async def send(response: web.StreamResponse, data: dict[str, Any] | str) -> None:
    await response.write(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode())


def reply(*texts: str, finish: str = "stop", pause_s: float = 0.0) -> Handler:
    async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if not body.get("stream"):
            message = {"role": "assistant", "content": texts[0]}
            choice = {"index": 0, "message": message, "finish_reason": "length"}
            return web.json_response(
                {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
            )
        response = await events(request)
        for text in texts:
            await send(response, chunk(text))
            await asyncio.sleep(pause_s)
        await send(response, chunk(finish=finish))
        usage = {"prompt_tokens": 11, "completion_tokens": len(texts), "total_tokens": 11 + len(texts)}
        await send(response, chunk(usage=usage))
        await send(response, "[DONE]")
        return response

    return handler


def failing(status: int) -> Handler:
    async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no"}}, status=status)

    return handler


def tone(samples: int = 12_000, piece: int = 1_001) -> Handler:
    """PCM in pieces that end in the middle of a sample."""

    async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await response.prepare(request)
        data = (np.arange(samples) % 2_000).astype("<i2").tobytes()
        for start in range(0, len(data), piece):
            await response.write(data[start : start + piece])
            await asyncio.sleep(0.001)
        return response

    return handler


def asking(*calls: tuple[str, str], text: str = "", pieces: int = 3) -> Handler:
    """Asks for tools: of each call the name and the arguments, which come in pieces."""

    async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await events(request)
        if text:
            await send(response, chunk(text))
        for index, (name, arguments) in enumerate(calls):
            begin = {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": name}}
            await send(response, _tool_chunk(begin))
            size = max(1, -(-len(arguments) // pieces))
            for at in range(0, len(arguments), size):
                function = {"arguments": arguments[at : at + size]}
                await send(response, _tool_chunk({"index": index, "function": function}))
        await send(response, chunk(finish="tool_calls"))
        await send(response, "[DONE]")
        return response

    return handler


def _tool_chunk(piece: dict[str, Any]) -> dict[str, Any]:
    whole = chunk()
    whole["choices"][0]["delta"] = {"tool_calls": [piece]}
    return whole


def in_turn(*handlers: Handler) -> Handler:
    """Answers the first request with the first, and so on; the last answers all that follow."""
    left = list(handlers)

    async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        chosen = left.pop(0) if len(left) > 1 else left[0]
        return await chosen(request, body)

    return handler
