"""`morgan calibrate`: measure this machine anew."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.engines.protocols import EngineError, Engines
from pipeline.engines.speeds import Unmeasured
from pipeline.models import ModelError, ModelStore
from server.calibration.calibrate import calibrate as measure
from server.calibration.profile import Profile, save_profile
from server.calls.capacity import calls_in_time, others_s, turn_cost_s, turn_on_gpu_s
from server.cli.models import rendered_progress
from server.engines.factory import build_engines, needed_models
from server.engines.library import fetch_library
from server.minds.choice import resolved
from server.minds.speed_book import SpeedBook, keep_speeds
from server.settings import Settings, SettingsError, load_settings


def calibrate(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Measure this machine anew: how Whisper computes best, its window, the speed of every engine, and how many calls
    that is enough for.

    A running server uses the engines at the same time and makes the figures worse: stop it first; it reads them at its
    next start.
    """
    try:
        settings = resolved(load_settings())
    except SettingsError as error:
        typer.echo(f"The settings do not fit.\n{error}", err=True)
        raise typer.Exit(2) from error
    try:
        with rendered_progress() as progress:
            ModelStore(settings.models_dir).ensure(needed_models(settings), progress)
            fetch_library(settings, progress)
        engines = build_engines(settings)
    except (ModelError, EngineError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    profile = asyncio.run(_measured(settings, engines))
    where = save_profile(settings, profile)
    speeds = profile.speeds
    if speeds is not None and not isinstance(speeds.llm, Unmeasured):
        # Other models' are forgotten: a machine that was busy then is not for ever.
        keep_speeds(settings, SpeedBook({settings.llm_model: speeds.llm}, others_s(speeds)))
    if as_json:
        typer.echo(json.dumps({**asdict(profile), "path": str(where) if where else None}, indent=2))
        return
    _show(profile)
    typer.echo(f"Kept in {where}" if where else f"Not kept: {settings.models_dir} cannot be written.")


async def _measured(settings: Settings, engines: Engines) -> Profile:
    try:
        return await measure(settings, engines)
    finally:
        await asyncio.gather(*(engine.close() for engine in engines.all().values()))


def _show(profile: Profile) -> None:
    console = Console()
    console.print(profile.machine, markup=False)
    if profile.compute_type:
        console.print(f"Whisper: {profile.computing_in_words()}", markup=False, highlight=False)
    if profile.windows:
        table = Table(box=box.SIMPLE_HEAD, title="Whisper's window", title_justify="left")
        for heading in ("silence behind the speech", "time", "words otherwise than in the full window", "doubted"):
            table.add_column(heading)
        full_s = profile.windows[-1].seconds
        for each in profile.windows:
            name = "full window" if each.padding_s is None else f"{each.padding_s:g} s"
            chosen = "  (chosen)" if each.padding_s == profile.padding_s else ""
            share = f"{each.seconds / full_s:.0%} of the full window's" if full_s else ""
            otherwise = "it hears none" if each.disagreement is None else f"{each.disagreement:.1%}"
            table.add_row(name + chosen, share, otherwise, f"{each.doubted:.1%}")
        console.print(table)
    if profile.speeds is not None:
        for name, value in profile.speeds.figures():
            typer.echo(f"{name:20} {value:.4g}")
        typer.echo(f"{'a turn, core seconds':20} {turn_cost_s(profile.speeds):.2f}")
        if profile.speeds.on_gpu:
            typer.echo(f"{'on the GPU, seconds':20} {turn_on_gpu_s(profile.speeds):.2f}")
        typer.echo(f"{'calls in time':20} {calls_in_time(profile.speeds, profile.speeds.cores)}")
