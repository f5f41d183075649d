"""`morgan serve`: load everything, take calls, end well."""

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from media.values import MediaError
from pipeline.engines.protocols import EngineError, Engines
from pipeline.models import ModelError, ModelStore
from server.app import SERVICES, SWITCH_INTERVAL_S, Server
from server.cli.models import rendered_progress
from server.engines import build_engines, needed_models
from server.logs import configure_logs
from server.settings import Settings, SettingsError, load_settings

console = Console(stderr=True)


def serve(
    role: Annotated[Literal["all", "core"], typer.Option(help="Which part to run.")] = "all",
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65532, help="Port of the page and the API.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where Morgan keeps its data.")] = None,
) -> None:
    """Serve the call page and the API."""
    try:
        settings = load_settings({"host": host, "port": port, "data_dir": data_dir})
    except SettingsError as error:
        _stop(f"The settings do not fit.\n{error}", code=2)
    configure_logs(settings)
    try:
        with rendered_progress() as progress:
            ModelStore(settings.models_dir).ensure(needed_models(settings), progress)
        engines = _load(settings)
    except (ModelError, EngineError) as error:
        _stop(str(error))
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        asyncio.run(_run(settings, engines))
    except (MediaError, EngineError) as error:
        _stop(str(error))
    except OSError as error:
        last = settings.port + len(SERVICES)
        where = f"{settings.host}:{settings.port}-{last}"
        _stop(f"Cannot listen on {where}: {error.strerror}. Choose other ports with --port.")


def _load(settings: Settings) -> Engines:
    """Load the engines, showing how far that is."""
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[last]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Loading models", total=6, last="")
        engines = build_engines(settings, lambda role: progress.update(task, advance=1, last=role))
    console.print(f"Models loaded in {time.monotonic() - began:.1f} s")
    return engines


async def _run(settings: Settings, engines: Engines) -> None:
    stopping: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.put_nowait, number)
    server = await Server.start(settings, engines)
    console.print(f"Morgan is ready: [bold]{server.url}[/bold]")
    asked = await stopping.get()
    if asked is signal.SIGTERM and server.registry.active:
        console.print(f"Waiting up to {settings.drain_s:.0f} s for {len(server.registry.active)} calls to end")
    draining = asyncio.create_task(server.stop(settings.drain_s if asked is signal.SIGTERM else 0.0))
    again = asyncio.create_task(stopping.get())
    await asyncio.wait((draining, again), return_when=asyncio.FIRST_COMPLETED)
    if not draining.done():
        # Asked twice: end the calls now.
        await server.registry.close()
    await draining
    again.cancel()
    await asyncio.gather(*(engine.close() for engine in engines.all().values()))


def _stop(message: str, code: int = 1) -> None:
    console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)
