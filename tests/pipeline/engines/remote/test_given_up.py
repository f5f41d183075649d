"""A service that takes work and gives no sign of it: whoever gives the work up has found out that it hangs."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from aiohttp import web

from pipeline.engines.remote.service import RemoteService
from pipeline.engines.remote.stt import RemoteSpeechToText
from pipeline.scheduling.lanes import Ticket, Urgency


class HangingService:
    """Says that it is well, and answers nothing else.

    Attributes:
        url: of its root.
        asked: set once there is work.
        left: set once the connection of that is closed.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked, self.left = asyncio.Event(), asyncio.Event()

    async def health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def hang(self, request: web.Request) -> web.Response:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        raise AssertionError("nobody wakes it")


@pytest.fixture
async def hanging() -> AsyncIterator[HangingService]:
    service, app = HangingService(), web.Application()
    app.router.add_get("/health", service.health)
    app.router.add_post("/transcribe", service.hang)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield service
    await runner.cleanup()


@pytest.mark.parametrize("gives_up", [True, False])
async def test_work_that_is_given_up_is_held_against_the_server_and_its_connection_closed(
    hanging: HangingService, gives_up: bool
) -> None:
    service = RemoteService("stt", [hanging.url])
    ticket = Ticket(Urgency.FINAL_TRANSCRIPT)
    work = asyncio.ensure_future(RemoteSpeechToText(service, {}).transcribe(np.zeros(1600, np.float32), ticket))
    await hanging.asked.wait()
    if gives_up:
        ticket.give_up()
    else:
        ticket.cancel()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert bool(service.replicas.all[0].problem) is gives_up
    assert service.replicas.all[0].in_flight == 0
    assert service.load.running == 0
    await hanging.left.wait()
    await service.close()
