"""The tools that the settings declare, for a language model that can be given them, and what is kept of their use."""

from collections.abc import Sequence
from typing import Any

import structlog

from persistence.conversation_log import ConversationLog
from pipeline.engines.llm.replaceable import ReplaceableLanguageModel
from pipeline.engines.protocols import LanguageModel
from pipeline.tools.mcp.declaration import McpServer
from pipeline.tools.toolbox import NO_TOOLS, Toolbox, ToolResult, ToolSource
from server.settings import Settings

log = structlog.get_logger(__name__)

NO_TOOL_MODEL = (
    "choose a language model that can call tools (`morgan models list`), or set MORGAN_LLM_BASE_URL to an "
    "OpenAI-compatible endpoint that has one"
)
"""What to do where tools are declared and the language model was not trained to call them."""


MAX_KEPT_ARGUMENTS = 4_000
"""Characters of a tool call's arguments that are stored."""


def build_toolbox(settings: Settings, llm: LanguageModel) -> Toolbox:
    """The tools; none where the language model cannot be given any, which the log says.

    Raises:
        pipeline.tools.errors.ToolSetupError: a tool cannot be used; the message says what to mend.
    """
    if not settings.tools and not settings.mcp_servers and not settings.mcp_client_hosts:
        return NO_TOOLS
    # Of a model that may give its place to another one nobody knows; one that cannot call tools is not told of them.
    if not isinstance(llm, ReplaceableLanguageModel) and not llm.calls_tools:
        log.error("the declared tools are not used: this language model cannot call them", advice=NO_TOOL_MODEL)
        return NO_TOOLS
    return Toolbox(
        settings.tools,
        rounds=settings.tool_rounds,
        source=mcp_servers(settings.mcp_servers),
        guest_hosts=settings.mcp_client_hosts,
    )


def mcp_servers(servers: Sequence[McpServer]) -> ToolSource | None:
    """The tools of MCP servers; None where there are no servers."""
    if not servers:
        return None
    # Imported where it is used: the library takes most of a second.
    from pipeline.tools.mcp.servers import McpServers

    return McpServers(servers)


def keep_tool_result(writer: ConversationLog, item_id: str, result: ToolResult) -> None:
    """Write down what came of a tool call, as a message of the role "tool"."""
    call = result.call
    metadata: dict[str, Any] = {
        "tool": call.name,
        "tool_call_id": call.id,
        "arguments": call.arguments[:MAX_KEPT_ARGUMENTS],
        "failed": result.failed,
    }
    if result.seconds is not None:
        metadata["duration_ms"] = round(result.seconds * 1000, 1)
    writer.message(item_id, "tool", result.content, metadata)
