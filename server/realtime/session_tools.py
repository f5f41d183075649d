"""Tools that a client of a Realtime session names: its own functions, MCP servers, and the choice of one of them."""

from collections.abc import Sequence
from typing import Any

from pipeline.engines.protocols import ToolSpec
from pipeline.tools.toolbox import Toolbox
from server.conversations.tools import NO_TOOL_MODEL
from server.realtime.abilities import Abilities
from server.realtime.errors import RealtimeError, unsupported
from server.realtime.mcp_schema import McpTool
from server.realtime.session_schema import FunctionTool, Tool

Json = dict[str, Any]


def functions_among(tools: Sequence[Tool], abilities: Abilities, param: str) -> tuple[FunctionTool, ...]:
    """The functions among tools.

    Raises:
        RealtimeError: the language model can be given none, or two have one name.
    """
    functions = tuple(tool for tool in tools if isinstance(tool, FunctionTool))
    if functions and not abilities.calls_tools:
        message = f"The language model of this server ({abilities.model}) cannot call functions"
        raise unsupported(param, f"{message}; {NO_TOOL_MODEL}")
    names = [tool.name for tool in functions]
    for name in names:
        if names.count(name) > 1:
            raise RealtimeError("invalid_value", f"Two tools are called '{name}'.", param)
    return functions


def servers_among(tools: Sequence[Tool], abilities: Abilities, box: Toolbox, param: str) -> tuple[McpTool, ...]:
    """The MCP servers among tools.

    Args:
        tools: as the client gave them.
        abilities: of the server.
        box: the server's own tools, MCP servers among them.
        param: names them in an error.

    Raises:
        RealtimeError: the language model cannot call tools, one may not be named here, or two have one label.
    """
    servers = tuple(tool for tool in tools if isinstance(tool, McpTool))
    if servers and not abilities.calls_tools:
        message = f"The language model of this server ({abilities.model}) cannot call tools"
        raise unsupported(param, f"{message}; {NO_TOOL_MODEL}")
    hosts = box.guest_hosts
    labels: set[str] = set()
    for server in servers:
        label = server.server_label
        if label in labels:
            raise RealtimeError("invalid_value", f"Two MCP servers are called '{label}'.", param)
        labels.add(label)
        own = bool(box.of_server(label))
        if server.server_url is None and not own:
            message = f"There is no MCP server '{label}' on this server (MORGAN_MCP_SERVERS): give a `server_url`"
            raise RealtimeError("invalid_value", message, param)
        if server.server_url is not None and own:
            message = f"'{label}' is an MCP server of this server itself: leave out its `server_url`, or rename it"
            raise RealtimeError("invalid_value", message, param)
        if server.server_url is not None and "*" not in hosts and server.host not in hosts:
            message = f"MCP servers at '{server.host}' may not be named here: MORGAN_MCP_CLIENT_HOSTS has no such host"
            raise unsupported(param, message)
    return servers


def check_choice(
    choice: str | Json, functions: Sequence[FunctionTool], servers: Sequence[McpTool], box: Toolbox, param: str
) -> None:
    """See that the tool that is to be called is there.

    Args:
        choice: of a tool, or how one is chosen.
        functions: of the client.
        servers: that the client names.
        box: the server's own tools.
        param: names the choice in an error.

    Raises:
        RealtimeError: there is no such tool, or no such MCP server.
    """
    known = [tool.name for tool in functions] + [tool.name for tool in box.specs]
    if isinstance(choice, dict) and choice["type"] == "mcp":
        labels = [server.server_label for server in servers]
        if choice["server_label"] not in labels:
            message = f"There is no MCP server '{choice['server_label']}' in this session."
            raise RealtimeError("invalid_value", message, param)
    elif isinstance(choice, dict) and choice["name"] not in known:
        message = f"There is no tool '{choice['name']}'; there are {', '.join(known) or 'none'}."
        raise RealtimeError("invalid_value", message, param)


def spec(tool: FunctionTool) -> ToolSpec:
    """A client's function as the language model is told of it."""
    return ToolSpec(tool.name, tool.description or "", tool.parameters or {"type": "object", "properties": {}})
