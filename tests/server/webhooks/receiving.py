"""A server that takes webhooks, and checks their signatures with the library of the specification."""

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

SECRET = "whsec_" + base64.b64encode(b"a secret of some thirty-two bytes").decode()


class Receiving:
    """What came, and what is answered.

    Attributes:
        taken: messages that were answered with 204, verified and read.
        ids: of all messages that came, in order.
        answers: statuses of the next answers; 204 behind them.
    """

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.answers: list[int] = []
        self.others: list[str] = []
        self.url = ""

    async def hook(self, request: web.Request) -> web.Response:
        body = await request.read()
        told = Webhook(SECRET).verify(body, dict(request.headers))
        self.ids.append(request.headers["webhook-id"])
        status = self.answers.pop(0) if self.answers else 204
        if status == 204:
            self.taken.append(told)
        return web.Response(status=status, headers={"Location": "/other"} if status == 302 else None)

    async def other(self, request: web.Request) -> web.Response:
        self.others.append(request.path)
        return web.Response()

    @property
    def types(self) -> list[str]:
        """Of what was taken."""
        return [each["type"] for each in self.taken]


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiving]:
    """A receiver that listens, for as long as the block lasts."""
    receiver = Receiving()
    app = web.Application()
    app.router.add_post("/hook", receiver.hook)
    app.router.add_route("*", "/other", receiver.other)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@contextmanager
def receiving_aside() -> Iterator[Receiving]:
    """The same in a thread of its own, for tests that have no event loop, or several."""
    loop, begun = asyncio.new_event_loop(), threading.Event()
    made: list[Receiving] = []
    over = asyncio.Event()

    async def receive() -> None:
        async with receiving() as receiver:
            made.append(receiver)
            begun.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(receive(),), name="receiving")
    thread.start()
    begun.wait(60)
    try:
        yield made[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(60)
        loop.close()
