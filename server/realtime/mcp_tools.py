"""The MCP servers of one Realtime session: their tools listed, put into the call, and known again when they are called.

A label without an address is that of one of this server's own (`MORGAN_MCP_SERVERS`), whose tools every call has.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog

from pipeline.call.requests import OptionsChanged
from pipeline.tools.mcp.declaration import McpServer
from pipeline.tools.toolbox import Tool
from server.calls.call import Call
from server.realtime.items import ItemList
from server.realtime.mcp_schema import McpTool

Json = dict[str, Any]

LIST_S = 20.0
"""Patience with a server's list of tools."""

log = structlog.get_logger(__name__)


class Servers(Protocol):
    """Of one client's server (`pipeline.tools.mcp.servers.McpServers`)."""

    def tools(self) -> Sequence[Tool]: ...

    async def listed(self, timeout_s: float) -> bool: ...

    async def close(self) -> None: ...


class McpTools:
    """What a session has of MCP servers.

    Args:
        call: of the session.
        items: of the conversation.
        tell: an event to every client.
        new_id: makes ids from a kind.
    """

    def __init__(
        self, call: Call, items: ItemList, tell: Callable[[str, Json], None], new_id: Callable[[str], str]
    ) -> None:
        self._call = call
        self._items = items
        self._tell = tell
        self._new_id = new_id
        self._own = call.options.tools
        self._wanted: dict[str, McpTool] = {}
        self._servers: dict[str, Servers] = {}
        self._listings: dict[str, asyncio.Future[bool]] = {}
        self._tools: dict[str, list[Tool]] = {}
        self._names: dict[str, tuple[str, str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, name: str) -> tuple[str, str] | None:
        """Label of its server and its name there, of a tool that models know by another name; None for no MCP tool."""
        return self._names.get(name)

    def follow(self, wanted: Sequence[McpTool]) -> None:
        """The session has these from now on: what is new is listed, what is gone is forgotten."""
        told = {each.server_label: each for each in wanted}
        for label in [label for label, known in self._wanted.items() if told.get(label) != known]:
            self._forget(label)
        for label, tool in told.items():
            if label not in self._wanted:
                self._wanted[label] = tool
                self._spawn(self._list(tool))

    def close(self) -> None:
        """The call is over."""
        for label in list(self._wanted):
            self._forget(label)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _forget(self, label: str) -> None:
        del self._wanted[label]
        self._tools.pop(label, None)
        servers = self._servers.pop(label, None)
        if servers is not None:
            self._listings.pop(label).cancel()
            self._spawn(servers.close())
        self._put_into_call()

    async def _list(self, wanted: McpTool) -> None:
        """Tell what a server has, once that is known."""
        label = wanted.server_label
        item: Json = {"id": self._new_id("mcpl"), "type": "mcp_list_tools", "server_label": label, "tools": []}
        previous = self._items.add(item)
        place = {"item_id": item["id"]}
        self._tell("conversation.item.added", {"previous_item_id": previous, "item": item})
        self._tell("mcp_list_tools.in_progress", place)
        try:
            tools = await self._found(wanted)
        except Exception:  # of any kind: the client waits for the list, or to be told that there is none
            log.exception("tools of an mcp server not listed", server=label)
            tools = None
        if self._wanted.get(label) is not wanted:
            return
        if tools is None:
            self._tell("mcp_list_tools.failed", place)
        else:
            self._tools[label] = tools
            self._put_into_call()
            item = {**item, "tools": [_described(tool, label) for tool in tools]}
            self._tell("mcp_list_tools.completed", place)
        self._items.add(item)
        self._tell("conversation.item.done", {"previous_item_id": previous, "item": item})

    async def _found(self, wanted: McpTool) -> list[Tool] | None:
        """The tools of a server that are offered; None where it does not answer."""
        label = wanted.server_label
        if wanted.server_url is None:
            found = list(self._own.of_server(label))
        else:
            servers = await asyncio.to_thread(_opened, wanted)
            if self._wanted.get(label) is not wanted:
                await servers.close()
                return None
            self._servers[label] = servers
            listing = self._listings[label] = asyncio.ensure_future(servers.listed(LIST_S))
            if not await listing:
                return None
            found = list(servers.tools())
        return [each for each in found if wanted.allows(each.own_name, read_only=each.read_only)]

    def _put_into_call(self) -> None:
        """The model is told of them from its next turn on."""
        names: dict[str, tuple[str, str]] = {}
        approval: list[str] = []
        offered: list[Tool] = []
        hidden: set[str] = set()
        for label, tools in self._tools.items():
            wanted = self._wanted[label]
            offered += tools
            if wanted.server_url is None:
                hidden |= {each.name for each in self._own.of_server(label)} - {each.name for each in tools}
            for tool in tools:
                names[tool.name] = (label, tool.own_name)
                if wanted.asks(tool.own_name, read_only=tool.read_only):
                    approval.append(tool.name)
        self._names = names
        box = self._own.without(hidden).plus(offered)
        self._call.actor.post(OptionsChanged({"tools": box, "approval": tuple(approval)}))


def _opened(wanted: McpTool) -> Servers:
    """Connect to a client's server; in a thread, because the library takes most of a second to be imported."""
    from pipeline.tools.mcp.servers import McpServers

    headers = dict(wanted.headers or {})
    if wanted.authorization:
        headers["Authorization"] = f"Bearer {wanted.authorization}"
    server = McpServer(name=wanted.server_label, url=wanted.server_url, headers=headers, timeout_s=60)
    servers = McpServers([server])
    servers.start()
    return servers


def _described(tool: Tool, label: str) -> Json:
    """A tool as the list tells it."""
    description = tool.description
    shown: Json = {"name": tool.own_name, "description": description.description}
    return {**shown, "input_schema": dict(description.parameters), "annotations": {"readOnlyHint": tool.read_only}}
