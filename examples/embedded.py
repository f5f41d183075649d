"""Morgan inside an application: one process and one event loop, the application's own routes on a port of its own.

    python examples/embedded.py 9100

Settings are Morgan's own (`MORGAN_*`, the TOML file). Callers come to Morgan's page; `GET /` on the application's port
tells where that is and who is on the line. SIGINT and SIGTERM end both.
"""

import asyncio
import signal
import sys

from aiohttp import web

from pipeline.models import ModelStore
from server.app import SWITCH_INTERVAL_S, Server
from server.engines.factory import build_engines, needed_models
from server.settings import load_settings


async def main(port: int) -> None:
    """Load the engines, start Morgan, serve the application beside it, end both."""
    settings = load_settings()
    # Both block for seconds; an application that is serving already has them done in a thread.
    await asyncio.to_thread(ModelStore(settings.models_dir).ensure, needed_models(settings))
    engines = await asyncio.to_thread(build_engines, settings)
    morgan = await Server.start(settings, engines)

    async def status(_: web.Request) -> web.Response:
        return web.json_response({"morgan": morgan.url, "calls": len(morgan.registry.active)})

    app = web.Application()
    app.add_routes([web.get("/", status)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(f"The application is on port {port}, Morgan on {morgan.url}", flush=True)

    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    await runner.cleanup()
    await morgan.stop(settings.drain_s)
    await asyncio.gather(*(engine.close() for engine in engines.all().values()))


if __name__ == "__main__":
    # So that inference threads give the interpreter's lock back in time for the next packet.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    asyncio.run(main(int(sys.argv[1])))
