"""OpenAI-compatible chat endpoint over one llama.cpp model: the same language model for every peer in a comparison.

python bench/peers/llm_server.py MODEL.gguf PORT [THREADS]
"""

import asyncio
import json
import sys
import threading
import time
from typing import Any

import llama_cpp.llama_cpp
from aiohttp import web
from llama_cpp import Llama

from pipeline.machine import has_amx

MOST_TOKENS = 60


def _keep_off_amx() -> None:
    """As `pipeline.engines.llama_native`: with it llama.cpp ends in an illegal instruction."""
    defaults = llama_cpp.llama_cpp.llama_model_default_params

    def without() -> Any:
        parameters = defaults()
        parameters.use_extra_bufts = False
        return parameters

    llama_cpp.llama_cpp.llama_model_default_params = without


class Completions:
    """Answers one request at a time, as the model is one."""

    def __init__(self, model: str, threads: int) -> None:
        if has_amx():
            _keep_off_amx()
        self._llm: Any = Llama(model, n_ctx=2048, n_threads=threads, verbose=False)
        self._lock = asyncio.Lock()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions, streamed or not."""
        body = await request.json()
        messages = [_plain(message) for message in body["messages"] if message.get("content")]
        print(f"{time.time():.3f} LLM asked: {messages[-1]['content']!r}", flush=True)
        async with self._lock:
            return await self._answer(request, body, messages)

    async def _answer(
        self, request: web.Request, body: dict[str, Any], messages: list[dict[str, str]]
    ) -> web.StreamResponse:
        loop, stop = asyncio.get_running_loop(), threading.Event()
        queue: asyncio.Queue[Any] = asyncio.Queue()
        most = min(body.get("max_tokens") or MOST_TOKENS, MOST_TOKENS)

        def generate() -> None:
            try:
                for chunk in self._llm.create_chat_completion(messages, stream=True, max_tokens=most, temperature=0):
                    if stop.is_set():
                        break
                    loop.call_soon_threadsafe(queue.put_nowait, chunk)
            finally:
                loop.call_soon_threadsafe(queue.put_nowait, None)

        task = loop.run_in_executor(None, generate)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            await response.prepare(request)
            while (chunk := await queue.get()) is not None:
                chunk["model"] = body.get("model", "local")
                if body.get("stream"):
                    await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
            if body.get("stream"):
                await response.write(b"data: [DONE]\n\n")
        except (ConnectionResetError, asyncio.CancelledError):
            pass
        finally:
            stop.set()
            await asyncio.shield(task)
        return response


def _plain(message: dict[str, Any]) -> dict[str, str]:
    """A message as the model's template knows it: text alone, no role of "developer"."""
    content = message["content"]
    text = content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)
    return {"role": "system" if message["role"] == "developer" else message["role"], "content": text}


async def models(_request: web.Request) -> web.Response:
    """GET /v1/models."""
    return web.json_response({"object": "list", "data": [{"id": "local", "object": "model"}]})


async def application(model: str, threads: int) -> web.Application:
    """The endpoint."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", Completions(model, threads))
    app.router.add_get("/v1/models", models)
    return app


def main() -> None:
    """Command line."""
    model, port, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 2
    web.run_app(application(model, threads), host="127.0.0.1", port=port, print=lambda _: None)


if __name__ == "__main__":
    main()
