"""Tools and results of MCP servers, as a conversation needs them."""

import json

import structlog
from mcp.types import CallToolResult, EmbeddedResource, ResourceLink, TextContent, TextResourceContents
from mcp.types import Tool as McpTool
from pydantic import ValidationError

from pipeline.tools.declaration import ToolDescription
from pipeline.tools.mcp.declaration import McpServer, tool_name
from pipeline.tools.toolbox import MAX_RESULT

MAX_DESCRIPTION = 1024
MAX_SCHEMA_CHARS = 20_000

log = structlog.get_logger(__name__)


def described(server: McpServer, tool: McpTool) -> ToolDescription | None:
    """A tool as the conversation knows it; None where it cannot be offered, which the log says."""
    if len(json.dumps(tool.input_schema)) > MAX_SCHEMA_CHARS:
        log.warning("tool of an mcp server left out: its schema is too long", server=server.name, tool=tool.name[:64])
        return None
    about = " ".join((tool.description or tool.title or tool.name).split())
    background = server.has("background", tool.name)
    try:
        return ToolDescription(
            name=tool_name(server.name, tool.name),
            description=about if len(about) <= MAX_DESCRIPTION else about[: MAX_DESCRIPTION - 1] + "…",
            parameters={"type": "object", "properties": {}, **tool.input_schema},
            timeout_s=server.timeout_s if background else min(server.timeout_s, 120.0),
            background=background,
            confirm=server.has("confirm", tool.name),
            filler=server.filler,
        )
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]["msg"]
        log.warning("tool of an mcp server left out", server=server.name, tool=tool.name[:64], problem=problem)
        return None


def as_text(result: CallToolResult) -> str:
    """The words of a result; of what is no text, only that it is there. Not longer than a model gets to see."""
    parts: list[str] = []
    length = 0
    for block in result.content:
        match block:
            case TextContent():
                part = block.text
            case EmbeddedResource(resource=TextResourceContents() as resource):
                part = resource.text
            case ResourceLink():
                part = f"[{block.name}: {block.uri}]"
            case _:
                part = f"[{block.type}, which cannot be read aloud]"
        parts.append(part[: MAX_RESULT + 1 - length])
        length += len(parts[-1]) + 1
        if length > MAX_RESULT:
            break
    if not parts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)[: MAX_RESULT + 1]
    return "\n".join(parts)
