"""`morgan memory`: care for what Morgan remembers."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import httpx2
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from persistence.errors import InvalidTextError, PersistenceError
from persistence.memory import Memory
from persistence.vectors.embedding_worker import Progress as Step
from pipeline.engines.protocols import EngineError
from pipeline.models import ModelError
from server.cli.env import running
from server.engines.factory import build_embedder
from server.memory.document_files import DocumentError, ReadDocument, read_document, readable
from server.memory.documents import add_document
from server.memory.door import persistence_config
from server.memory.recall import MemoryEmbedder
from server.observability.logs import configure_logs
from server.settings import Settings, SettingsError, load_settings

app = typer.Typer(no_args_is_help=True, help="What Morgan remembers.")

console = Console(stderr=True)

ANSWER_S = 60.0
"""A server that says nothing for so long is given up."""

OWN_READING_S = 120.0
"""So long a command without a server reads what it has added, that it can be found."""


class RebuildError(Exception):
    """It did not work; the message says why, and what to do."""


class RefusedError(Exception):
    """The server does not take a document; the message says why."""


@app.command()
def rebuild(
    data_dir: Annotated[Path | None, typer.Option(help="Data directory of the server.")] = None,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Make the embeddings anew too, after a change of embedder_model.")
    ] = False,
) -> None:
    """Make the index of messages anew from PostgreSQL, in the running server or without one."""
    settings = _settings(data_dir)
    url = _running_url(settings)
    steps = _stopped(settings, embeddings) if url is None else _running(url, settings, embeddings)
    try:
        total = asyncio.run(_show(steps))
    except (RebuildError, PersistenceError, EngineError, ModelError) as error:
        _stop(str(error))
    except httpx2.HTTPError as error:
        _stop(f"The server at {url} does not answer: {error}")
    console.print(f"{total} messages are in the index.")


@app.command()
def add(
    paths: Annotated[list[Path], typer.Argument(help="Files (text, Markdown, HTML, PDF) and folders of them.")],
    user_id: Annotated[str, typer.Option(help="Whose they are: nobody else is answered from them.")],
    data_dir: Annotated[Path | None, typer.Option(help="Data directory of the server.")] = None,
) -> None:
    """Have Morgan answer a user from files, too; the same file again replaces what it said before."""
    settings = _settings(data_dir)
    try:
        added, failed = asyncio.run(_add_all(settings, user_id, list(_files(paths))))
    except (PersistenceError, EngineError, ModelError, RebuildError) as error:
        _stop(str(error))
    except httpx2.HTTPError as error:
        _stop(f"The server does not answer: {error}")
    if not added and not failed:
        _stop("There is no file in it that can be read.")
    raise typer.Exit(1 if failed else 0)


def _files(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """The files, each with what it is known by from now on: its path below the folder that was named."""
    for path in paths:
        if not path.is_dir():
            yield path, path.name
            continue
        for each in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in each.relative_to(path).parts)
            if each.is_file() and readable(each) and not hidden:
                yield each, each.relative_to(path.parent).as_posix()


async def _add_all(settings: Settings, user_id: str, files: list[tuple[Path, str]]) -> tuple[int, int]:
    """Put files in, those that can be; returns how many that were, and how many not."""
    added = failed = 0
    async with _adding(settings, user_id) as add_one:
        for path, source in files:
            try:
                read = read_document(path)
                passages = await add_one(source, read)
            except (DocumentError, RefusedError, InvalidTextError) as error:
                console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
                failed += 1
            else:
                added += 1
                console.print(f"{source}: {read.title}, {passages} passages", markup=False, highlight=False)
    return added, failed


@asynccontextmanager
async def _adding(
    settings: Settings, user_id: str
) -> AsyncGenerator[Callable[[str, ReadDocument], Awaitable[int]], None]:
    """What puts a document in and returns the number of its passages: the running server, or this process."""
    url = _running_url(settings)
    if url is not None:
        async with _client(url, settings) as client:

            async def sent(source: str, read: ReadDocument) -> int:
                sections = [{"content": each.content, "place": each.place[:300]} for each in read.sections]
                body = {"user_id": user_id, "source": source, "title": read.title[:300], "sections": sections}
                response = await client.post("/api/memory/documents", json=body)
                if response.status_code != httpx2.codes.CREATED:
                    raise RefusedError(f"{source}: {_refusal(response)}")
                return int(response.json()["passage_count"])

            yield sent
        return
    async with _own_memory(settings) as memory:

        async def stored(source: str, read: ReadDocument) -> int:
            return (await add_document(memory, user_id, source, read.title, read.sections)).passage_count

        yield stored
        # What is left is read by the server, when it starts.
        await memory.worker.idle(OWN_READING_S)


def _settings(data_dir: Path | None) -> Settings:
    try:
        return load_settings({"data_dir": data_dir})
    except SettingsError as error:
        _stop(f"The settings do not fit.\n{error}", code=2)


def _running_url(settings: Settings) -> str | None:
    """Where the server on this data directory is; None where none runs."""
    known = running(settings.data_dir)
    if known is not None and "MORGAN_URL" not in known:
        _stop(f"The server on {settings.data_dir} is starting; try again in a moment.")
    return None if known is None else known["MORGAN_URL"]


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
    async with _own_memory(settings) as memory, aclosing(memory.worker.rebuild(embeddings=embeddings)) as steps:
        async for step in steps:
            yield step


@asynccontextmanager
async def _own_memory(settings: Settings) -> AsyncGenerator[Memory, None]:
    """The memory of a server that does not run."""
    configure_logs(settings.model_copy(update={"log_level": "warning"}))
    engine = build_embedder(settings)
    try:
        memory = await Memory.open(persistence_config(settings), MemoryEmbedder(engine) if engine else None)
        try:
            if not memory.postgres.up.is_set():
                raise RebuildError("PostgreSQL does not answer, where everything is kept.")
            yield memory
        finally:
            await memory.close()
    finally:
        if engine is not None:
            await engine.close()


async def _running(url: str, settings: Settings, embeddings: bool) -> AsyncGenerator[Step, None]:
    """Ask the running server to do it: only one process at a time can have the index of the data directory open."""
    async with (
        _client(url, settings) as client,
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


def _client(url: str, settings: Settings) -> httpx2.AsyncClient:
    key = settings.api_keys[0].get_secret_value() if settings.api_keys else os.environ.get("MORGAN_TOKEN", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx2.AsyncClient(base_url=url, headers=headers, timeout=httpx2.Timeout(10, read=ANSWER_S))


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
