"""`morgan memory`: care for what Morgan remembers."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, NoReturn

import httpx2
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from persistence.errors import PersistenceError
from persistence.memory import Memory
from persistence.vectors.embedding_worker import Progress as Step
from pipeline.engines.protocols import EngineError
from pipeline.models import ModelError
from server.cli.env import running
from server.engines.factory import build_embedder
from server.memory.door import persistence_config
from server.memory.recall import MemoryEmbedder
from server.observability.logs import configure_logs
from server.settings import Settings, SettingsError, load_settings

app = typer.Typer(no_args_is_help=True, help="What Morgan remembers.")

console = Console(stderr=True)

ANSWER_S = 60.0
"""A server that says nothing for so long is given up."""


class RebuildError(Exception):
    """It did not work; the message says why, and what to do."""


@app.callback()
def _group() -> None:
    """So that `rebuild` is a command of its own, though it is the only one."""


@app.command()
def rebuild(
    data_dir: Annotated[Path | None, typer.Option(help="Data directory of the server.")] = None,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Make the embeddings anew too, after a change of embedder_model.")
    ] = False,
) -> None:
    """Make the index of messages anew from PostgreSQL, in the running server or without one."""
    try:
        settings = load_settings({"data_dir": data_dir})
    except SettingsError as error:
        _stop(f"The settings do not fit.\n{error}", code=2)
    known = running(settings.data_dir)
    if known is not None and "MORGAN_URL" not in known:
        _stop(f"The server on {settings.data_dir} is starting; try again in a moment.")
    steps = _stopped(settings, embeddings) if known is None else _running(known["MORGAN_URL"], settings, embeddings)
    try:
        total = asyncio.run(_show(steps))
    except (RebuildError, PersistenceError, EngineError, ModelError) as error:
        _stop(str(error))
    except httpx2.HTTPError as error:
        _stop(f"The server at {(known or {}).get('MORGAN_URL')} does not answer: {error}")
    console.print(f"{total} messages are in the index.")


async def _show(steps: AsyncGenerator[Step, None]) -> int:
    """Show the progress; returns the number of messages."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    done = 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("Messages", total=None)
        async with aclosing(steps):
            async for step in steps:
                done = step.done
                progress.update(task, completed=step.done, total=step.total)
    return done


async def _stopped(settings: Settings, embeddings: bool) -> AsyncGenerator[Step, None]:
    """Start the stores of a server that does not run, and do it here."""
    configure_logs(settings.model_copy(update={"log_level": "warning"}))
    engine = build_embedder(settings)
    try:
        memory = await Memory.open(persistence_config(settings), MemoryEmbedder(engine) if engine else None)
        try:
            if not memory.postgres.up.is_set():
                raise RebuildError("PostgreSQL does not answer, and the index is made from it.")
            async with aclosing(memory.worker.rebuild(embeddings=embeddings)) as steps:
                async for step in steps:
                    yield step
        finally:
            await memory.close()
    finally:
        if engine is not None:
            await engine.close()


async def _running(url: str, settings: Settings, embeddings: bool) -> AsyncGenerator[Step, None]:
    """Ask the running server to do it: only one process at a time can have the index of the data directory open."""
    key = settings.api_keys[0].get_secret_value() if settings.api_keys else os.environ.get("MORGAN_TOKEN", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        httpx2.AsyncClient(base_url=url, headers=headers, timeout=httpx2.Timeout(10, read=ANSWER_S)) as client,
        client.stream("POST", "/api/memory/rebuild", json={"embeddings": embeddings}) as response,
    ):
        if response.status_code != httpx2.codes.OK:
            await response.aread()
            raise RebuildError(_refusal(response))
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line.removeprefix("data: "))
            if event["type"] == "error":
                raise RebuildError(event["message"])
            if event["type"] == "progress":
                yield Step(event["done"], event["total"])


def _refusal(response: httpx2.Response) -> str:
    if response.status_code == httpx2.codes.UNAUTHORIZED:
        return "The server asks for a key: set MORGAN_API_KEYS as the server has it, or MORGAN_TOKEN to one of them."
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered {response.status_code}."


def _stop(message: str, code: int = 1) -> NoReturn:
    console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)
