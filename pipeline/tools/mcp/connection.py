"""One MCP server, kept connected: its tools listed and listed again, begun anew with growing pauses when it ends."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import httpx2
import structlog
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.types import CallToolResult, Implementation, ToolListChangedNotification
from mcp.types import Tool as McpTool

from pipeline.tools.errors import ToolError
from pipeline.tools.mcp.declaration import McpServer
from pipeline.tools.mcp.http import http_client
from pipeline.tools.mcp.results import as_text
from pipeline.tools.mcp.stdio import stdio_transport

CONNECT_S = 60.0
"""Patience with a server that begins: some fetch what they need first."""

LIST_S = 15.0
"""Patience with its list of tools."""

REFRESH_S = 30.0
"""So often the tools are listed again, and with that it is seen whether the server is still there."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
"""Between two attempts: each twice as long as the one before, until the server has stayed for `STEADY_S`."""

STEADY_S = 30.0

MAX_TOOLS = 64
"""Of one server."""

MAX_PAGES = 20

ENDED = "it has ended"

GONE = "the server of this tool cannot be reached now"

log = structlog.get_logger(__name__)


class McpConnection:
    """Keeps one server connected. Everything of it runs on one event loop.

    Args:
        server: which one.

    Attributes:
        listed: its tools, as it describes them; empty while it is not there.
        problem: why it is not there; empty while it is.
        listings: how often the tools were listed.
        restarts: how often it was begun anew.
        there: set while it is there.
    """

    def __init__(self, server: McpServer) -> None:
        self.server = server
        self.listed: tuple[McpTool, ...] = ()
        self.problem = "not connected yet"
        self.listings = 0
        self.restarts = -1
        self.there = asyncio.Event()
        self._client: Client | None = None
        self._look = asyncio.Event()

    async def keep(self) -> None:
        """Connect, and again whenever it is lost; runs until it is cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            self.restarts += 1
            try:
                await self._connected()
            except Exception as error:  # whatever a server, a program or the library does: it is tried again
                self._lost(_told(error))
            finally:
                self._lost()
            if time.monotonic() - began >= STEADY_S:
                pause_s = FIRST_PAUSE_S
            log.warning("mcp server is not there", server=self.server.name, problem=self.problem, retry_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def call(self, tool: str, arguments: dict[str, Any]) -> str:
        """Run one of its tools, by its own name for it.

        Raises:
            ToolError: it is not there, breaks off, or says that the tool failed.
        """
        client = self._client
        if client is None:
            raise ToolError(GONE)
        try:
            result = await client.call_tool(tool, arguments)
        except MCPError as error:
            self._look.set()
            raise ToolError(f"the tool failed: {str(error)[:500]}") from error
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError, httpx2.HTTPError) as error:
            self._look.set()
            raise ToolError(GONE) from error
        except (RuntimeError, ValueError) as error:  # the library's: what came is not what the server had promised
            raise ToolError(f"the tool gave what cannot be used: {str(error)[:200]}") from error
        return _content(result)

    async def _connected(self) -> None:
        """From the first word to the last."""
        client = Client(
            self._transport(),
            client_info=Implementation(name="morgan", version="1"),
            message_handler=self._hear,
            cache=None,
        )
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(CONNECT_S):
                await stack.enter_async_context(client)
            await self._list(client)
            self._client, self.problem = client, ""
            self.there.set()
            log.info("mcp server connected", server=self.server.name, tools=[tool.name for tool in self.listed])
            listening = asyncio.create_task(self._listen(client))
            try:
                while True:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(REFRESH_S):
                            await self._look.wait()
                    self._look.clear()
                    await self._list(client)
            finally:
                self._lost()
                await _ended(listening)

    @contextlib.asynccontextmanager
    async def _transport(self) -> AsyncIterator[Any]:
        server = self.server
        opened: AbstractAsyncContextManager[Any]
        async with contextlib.AsyncExitStack() as stack:
            if server.command is not None:
                env = {name: value.get_secret_value() for name, value in server.env.items()}
                opened = stdio_transport(server.name, server.command, server.args, env, server.cwd)
            else:
                assert server.url is not None
                headers = {name: value.get_secret_value() for name, value in server.headers.items()}
                client = await stack.enter_async_context(http_client(headers))
                opened = streamable_http_client(server.url, http_client=client)
            yield await stack.enter_async_context(self._watched(opened))

    @contextlib.asynccontextmanager
    async def _watched(self, opened: AbstractAsyncContextManager[Any]) -> AsyncIterator[Any]:
        """A transport whose end is noticed at once, and not with the next call."""
        async with opened as (received, sent):
            passed, handed_on = anyio.create_memory_object_stream[Any](0)

            async def hand_on() -> None:
                with passed, contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                    try:
                        async for message in received:
                            await passed.send(message)
                    finally:
                        self._look.set()

            task = asyncio.create_task(hand_on())
            try:
                yield handed_on, sent
            finally:
                handed_on.close()
                await _ended(task)

    async def _list(self, client: Client) -> None:
        found: list[McpTool] = []
        cursor: str | None = None
        async with asyncio.timeout(LIST_S):
            for _ in range(MAX_PAGES):
                page = await client.list_tools(cursor=cursor)
                found += page.tools
                cursor = page.next_cursor
                if cursor is None or len(found) > MAX_TOOLS:
                    break
        wanted = [tool for tool in found if not self.server.tools or tool.name in self.server.tools]
        if len(wanted) > MAX_TOOLS:
            log.warning("mcp server has too many tools; name those that you want", server=self.server.name)
        self.listed = tuple(wanted[:MAX_TOOLS])
        self.listings += 1

    async def _hear(self, message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._look.set()

    async def _listen(self, client: Client) -> None:
        """Hear of changed tools where the server tells only those who ask for it (protocol 2026-07-28)."""
        ends = (ListenNotSupportedError, SubscriptionLost, MCPError, TimeoutError, anyio.ClosedResourceError)
        with contextlib.suppress(*ends):
            async with client.listen(tools_list_changed=True) as events:
                async for _ in events:
                    self._look.set()

    def _lost(self, problem: str = ENDED) -> None:
        self._client = None
        self.there.clear()
        self.listed = ()
        if not self.problem or problem != ENDED:
            self.problem = problem


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end; what it failed with is logged."""
    task.cancel()
    (problem,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(problem, Exception):
        log.error("work for an mcp server failed", exc_info=problem)


def _content(result: CallToolResult) -> str:
    text = as_text(result)
    if result.is_error:
        raise ToolError(text or "the tool failed")
    return text


def _told(error: BaseException) -> str:
    """What went wrong, in a line: groups of exceptions say nothing by themselves."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return f"{type(error).__name__}: {str(error)[:200]}"
