"""A program that speaks MCP over its standard streams, in bounds.

`mcp.client.stdio` would do but for two things: it joins what a program writes without a line end in memory, however
long that grows, and it copies all of it with each piece that is read.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence

import anyio
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage
from pydantic import TypeAdapter, ValidationError

MAX_LINE = 2 * 1024 * 1024
"""Bytes of one message; a program that writes a longer one is ended."""

MAX_TOLD = 500
"""Characters of a line on standard error that go into the log."""

END_S = 2.0
"""So long a program has to end when its input does; then it is killed, with all that it has started."""

_MESSAGE: TypeAdapter[JSONRPCMessage] = TypeAdapter(JSONRPCMessage)

log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def stdio_transport(
    name: str, command: str, args: Sequence[str], env: Mapping[str, str], cwd: str | None
) -> AsyncIterator[
    tuple[
        MemoryObjectReceiveStream[SessionMessage | Exception],
        MemoryObjectSendStream[SessionMessage],
    ]
]:
    """Run a program and exchange messages with it (a transport for `mcp.Client`).

    Args:
        name: for the log.
        command: the program, and
        args: its arguments.
        env: variables beside HOME, LOGNAME, PATH, SHELL, TERM and USER; it gets none of the others.
        cwd: the folder that it runs in; None for that of Morgan.

    Raises:
        OSError: there is no such program, or it cannot be run.
    """
    environment = {**get_default_environment(), **env}
    process = await asyncio.create_subprocess_exec(
        shutil.which(command, path=environment.get("PATH")) or command,
        *args,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=cwd,
        limit=MAX_LINE,
        start_new_session=True,
    )
    incoming, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    sent, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
    tasks = [
        asyncio.create_task(work)
        for work in (_read(name, process, incoming), _write(process, outgoing, incoming), _tell(name, process))
    ]
    try:
        yield received, sent
    finally:
        received.close()
        sent.close()
        await asyncio.shield(asyncio.ensure_future(_end(process, tasks)))


async def _read(
    name: str,
    process: asyncio.subprocess.Process,
    incoming: MemoryObjectSendStream[SessionMessage | Exception],
) -> None:
    """Hand on what the program says, until it ends or says too much at once."""
    assert process.stdout is not None
    with incoming, contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                log.error("an mcp server wrote a message without end, and is ended", server=name, bytes=MAX_LINE)
                _kill(process)
                return
            if not line:
                return
            if line.isspace():
                continue
            try:
                await incoming.send(SessionMessage(_MESSAGE.validate_json(line)))
            except ValidationError as error:
                await incoming.send(error)


async def _drain(process: asyncio.subprocess.Process) -> None:
    """Read what is not wanted: while a pipe is full, asyncio does not see that the program has ended."""
    assert process.stdout is not None
    with contextlib.suppress(OSError):
        while await process.stdout.read(65_536):
            pass


async def _write(
    process: asyncio.subprocess.Process,
    outgoing: MemoryObjectReceiveStream[SessionMessage],
    incoming: MemoryObjectSendStream[SessionMessage | Exception],
) -> None:
    """Tell the program; once it hears nothing any more, nothing is heard of it either."""
    assert process.stdin is not None
    with outgoing, contextlib.suppress(anyio.EndOfStream, anyio.ClosedResourceError):
        async for told in outgoing:
            text = told.message.model_dump_json(by_alias=True, exclude_unset=True)
            try:
                process.stdin.write(text.encode() + b"\n")
                await process.stdin.drain()
            except OSError:
                incoming.close()
                return


async def _tell(name: str, process: asyncio.subprocess.Process) -> None:
    """Put what the program writes on standard error into the log."""
    assert process.stderr is not None
    with contextlib.suppress(OSError):
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:
                continue
            if not line:
                return
            log.debug("an mcp server says", server=name, said=line.decode("utf-8", "replace").strip()[:MAX_TOLD])


async def _end(process: asyncio.subprocess.Process, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Close the program's input, wait for it a moment, and end it."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await process.wait()
    finally:
        # What it has started goes with it, whether or not it is still there itself.
        _kill(process)
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    await asyncio.gather(_drain(process), process.wait())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
