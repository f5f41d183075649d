"""The MCP servers of a Morgan, on a thread and an event loop of their own: what they write is parsed beside the calls,
however much it is."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import structlog

from pipeline.tools.errors import ToolError
from pipeline.tools.mcp.connection import GONE, McpConnection
from pipeline.tools.mcp.declaration import McpServer
from pipeline.tools.mcp.results import described
from pipeline.tools.toolbox import Tool

T = TypeVar("T")

CLOSE_S = 6.0
"""Patience with servers that are told to end."""

log = structlog.get_logger(__name__)


class McpServers:
    """A `ToolSource`: the tools of some MCP servers, those of a server that is not there left out.

    Args:
        servers: which ones.
    """

    def __init__(self, servers: Sequence[McpServer]) -> None:
        self._servers = tuple(servers)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connections: tuple[McpConnection, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []
        self._made: dict[int, tuple[int, list[Tool]]] = {}

    def start(self) -> None:
        """Begin to connect; returns at once."""
        if self._thread is not None or not self._servers:
            return
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="mcp", daemon=True)
        self._thread.start()
        ready.wait()

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            loop = self._loop = runner.get_loop()

            async def begin() -> None:
                self._connections = tuple(McpConnection(server) for server in self._servers)
                self._tasks = [asyncio.create_task(each.keep()) for each in self._connections]

            loop.run_until_complete(begin())
            ready.set()
            loop.run_forever()

    def tools(self) -> list[Tool]:
        """The tools of the servers that are there now."""
        found: list[Tool] = []
        for index, connection in enumerate(self._connections):
            listings, listed = connection.listings, connection.listed
            if not listed:
                continue
            if index not in self._made or self._made[index][0] != listings:
                self._made[index] = (listings, self._of(connection))
            found += self._made[index][1]
        return found

    def _of(self, connection: McpConnection) -> list[Tool]:
        tools: dict[str, Tool] = {}
        for listed in connection.listed:
            description = described(connection.server, listed)
            if description is None or description.name in tools:
                continue
            hints = listed.annotations
            tools[description.name] = Tool(
                description,
                _McpRunner(self, connection, listed.name),
                server=connection.server.name,
                own_name=listed.name,
                read_only=bool(hints and hints.read_only_hint),
            )
        return list(tools.values())

    @property
    def problems(self) -> dict[str, str]:
        """Why servers are not there, by name; "" for those that are."""
        return {each.server.name: each.problem for each in self._connections}

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the servers' own loop; cancelling stops it there.

        Raises:
            ToolError: they have been closed.
        """
        loop = self._loop
        if loop is None or not loop.is_running():
            work.close()
            raise ToolError(GONE)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

    async def listed(self, timeout_s: float) -> bool:
        """Wait until every server has told its tools; whether they have."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(self.run(each.there.wait()) for each in self._connections))
                return True
        return False

    async def close(self) -> None:
        """End the servers and the thread."""
        thread, loop = self._thread, self._loop
        if thread is None or loop is None:
            return
        self._thread = None
        began = time.monotonic()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.run(self._end())
        except TimeoutError:
            log.error("mcp servers do not end", seconds=round(time.monotonic() - began, 1))
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join, CLOSE_S)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _McpRunner:
    """Runs one tool of one server."""

    def __init__(self, servers: McpServers, connection: McpConnection, tool: str) -> None:
        self._servers = servers
        self._connection = connection
        self._tool = tool

    async def run(self, arguments: dict[str, Any]) -> str:
        """What the tool says; see `Runner`."""
        return await self._servers.run(self._connection.call(self._tool, arguments))
