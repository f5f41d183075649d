"""`morgan serve`: load everything, take calls, end well."""

import asyncio
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from media.upstream.event_loop import PunctualEventLoop
from media.values import MediaError
from persistence.tasks import keep_running
from pipeline.engines.llm.replaceable import ReplaceableLanguageModel
from pipeline.engines.protocols import EngineError, Engines
from pipeline.models import ModelError, ModelStore
from pipeline.processor import share_malloc_arenas
from pipeline.scheduling.cores import CORES
from server.app import SWITCH_INTERVAL_S, Server
from server.calibration.calibrate import calibrated
from server.calls.capacity import Capacity
from server.cli.improvement import improve
from server.cli.models import rendered_progress
from server.engines.factory import build_engines, needed_models
from server.engines.library import fetch_library
from server.http.tls import CertificateError
from server.minds.choice import chooses_mind, resolved
from server.observability.freed_memory import give_back_freed_memory
from server.observability.logs import configure_logs
from server.roles import ENGINES_OF, Role, port_of, services_of, takes_calls
from server.services.process import ServiceServer
from server.settings import RecordInputs, Settings, SettingsError, load_settings

console = Console(stderr=True)


def serve(
    role: Annotated[
        Role | None, typer.Option(help="Everything, calls alone with engines elsewhere, or one service alone.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65532, help="Port of the page; llm, tts and stt are on the next three.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where Morgan keeps its data.")] = None,
    record_inputs: Annotated[
        RecordInputs | None, typer.Option(help="Of which calls the inputs are written down, for `morgan replay`.")
    ] = None,
) -> None:
    """Serve the call page and the API, or one part of it."""
    try:
        settings = load_settings(
            {"role": role, "host": host, "port": port, "data_dir": data_dir, "record_inputs": record_inputs}
        )
    except SettingsError as error:
        _stop(f"The settings do not fit.\n{error}", code=2)
    configure_logs(settings)
    share_malloc_arenas()
    chooses = chooses_mind(settings)
    settings = resolved(settings)
    try:
        with rendered_progress() as progress:
            ModelStore(settings.models_dir).ensure(needed_models(settings), progress)
            missed = fetch_library(settings, progress)
        if missed:
            _tell(missed)
        engines = _load(settings)
        if chooses:
            engines = replace(engines, llm=ReplaceableLanguageModel(engines.llm))
    except (ModelError, EngineError) as error:
        _stop(str(error))
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        with asyncio.Runner(loop_factory=PunctualEventLoop) as runner:
            runner.run(_run(settings, engines))
    except (MediaError, EngineError, CertificateError) as error:
        _stop(str(error))
    except OSError as error:
        where = f"{settings.host}:{_ports(settings)}"
        _stop(f"Cannot listen on {where}: {error.strerror}. Choose other ports with --port.")


def _load(settings: Settings) -> Engines:
    """Load the engines, showing how far that is."""
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[last]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Loading models", total=len(ENGINES_OF[settings.role]), last="")
        engines = build_engines(settings, lambda role: progress.update(task, advance=1, last=role))
    console.print(f"Models loaded in {time.monotonic() - began:.1f} s")
    return engines


async def _run(settings: Settings, engines: Engines) -> None:
    stopping: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.put_nowait, number)
    profile = await calibrated(settings, engines, _announce_calibration)
    server: Server | ServiceServer
    if takes_calls(settings.role):
        server = await Server.start(settings, engines, profile.speeds)
    else:
        server = await ServiceServer.start(settings, engines)
    what = "Morgan" if takes_calls(settings.role) else f"Morgan's {settings.role} service"
    console.print(f"{what} is ready: [bold]{server.url}[/bold]")
    if server.certificate is not None:
        loop.add_signal_handler(signal.SIGHUP, server.certificate.reload)
    capacity = server.capacity if isinstance(server, Server) else Capacity(None, CORES.count, profile.speeds)
    improving = asyncio.create_task(improve(settings, engines, capacity, profile, lambda: server.load, _tell))
    returning = keep_running(give_back_freed_memory, "freed memory")
    asked = await stopping.get()
    improving.cancel()
    returning.cancel()
    if asked is signal.SIGTERM and server.busy:
        console.print(f"Waiting up to {settings.drain_s:.0f} s for {server.busy} to end")
    draining = asyncio.create_task(server.stop(settings.drain_s if asked is signal.SIGTERM else 0.0))
    again = asyncio.create_task(stopping.get())
    await asyncio.wait((draining, again), return_when=asyncio.FIRST_COMPLETED)
    if not draining.done():
        # Asked twice: end it now. Asked once more, not even that is waited for.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        await server.hurry()
    await draining
    again.cancel()
    await asyncio.wait((improving, returning))
    await asyncio.gather(*(engine.close() for engine in engines.all().values()))


def _tell(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _announce_calibration() -> None:
    console.print("Measuring this machine, once (`morgan calibrate` does it again, `morgan doctor` shows it)")


def _ports(settings: Settings) -> str:
    own = ["core"] if takes_calls(settings.role) else []
    ports = [port_of(service, settings.port) for service in (*own, *services_of(settings.role))]
    return str(ports[0]) if len(ports) == 1 else f"{ports[0]}-{ports[-1]}"


def _stop(message: str, code: int = 1) -> None:
    console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)
