"""A server with telephone lines, in this process, whose language model follows the test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from server.app import Server
from server.engines.factory import build_engines
from server.identity.grant import Grant
from server.settings import Settings
from tests.serving import free_port
from tests.upstream import asking, reply

AUTH_TOKEN = "a-token-of-an-account"
KEY = "a-key-of-the-settings-that-is-long-enough"
GREETING = "Hello, you have reached the office."
LONG = "This is a long answer. It goes on for a good while. Nobody should have to hear all of it before they may speak."


class Mind:
    """A language model that answers the same to everything, and asks for tools in turn."""

    def __init__(self) -> None:
        self.answer = LONG
        self.asks: list[tuple[str, str]] = []

    async def __call__(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        last = body["messages"][-1]
        if last["role"] == "tool":
            return await reply(f"I have {last['content']}.")(request, body)
        if self.asks and body.get("stream") and last["role"] == "user":
            return await asking(self.asks.pop(0))(request, body)
        return await reply(self.answer)(request, body)


@asynccontextmanager
async def serving_lines(llm_url: str, models_dir: Path, data_dir: Path, **more: Any) -> AsyncIterator[Server]:
    """A server that asks for keys; what is said is answered once, after the turn is over."""
    settings = Settings(
        port=free_port(),
        models_dir=models_dir,
        data_dir=data_dir,
        api_keys=KEY,
        stt_model="whisper-tiny.en",
        embedder_engine="none",
        llm_base_url=llm_url,
        llm_model="small",
        language="en",
        telephone_greeting=GREETING,
        twilio_auth_token=AUTH_TOKEN,
        transfer_targets={"sales": "+15550100"},
        max_calls=4,
        calls_per_minute=10_000,
        speculate=False,
        **more,
    )
    engines = build_engines(settings)
    server = await Server.start(settings, engines)
    # The thread that writes down used tokens lives as long as the server.
    tokens = server._parts.access.tokens
    await tokens.use(tokens.read(tokens.mint(Grant("join", frozenset({"calls"}), "nobody"), 60).value))
    try:
        yield server
    finally:
        await server.stop()
        for engine in engines.all().values():
            await engine.close()
