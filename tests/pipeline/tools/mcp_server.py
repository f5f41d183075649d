"""An MCP server for the tests, a program of its own: what its tools do is what servers do wrong, too.

`python -m tests.pipeline.tools.mcp_server [http PORT]`
"""

import asyncio
import os
import sys

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("for tests")


@server.tool()
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


@server.tool()
def environment() -> str:
    """The names of all variables."""
    return " ".join(sorted(os.environ))


@server.tool()
def endless() -> str:
    """Say more than anybody reads."""
    return "word " * 100_000


@server.tool()
def huge() -> str:
    """Say more than may be said at once."""
    return "x" * 5_000_000


@server.tool()
def die() -> str:
    """End without a word."""
    os._exit(1)


@server.tool()
def fail() -> str:
    """Do not work."""
    raise LookupError("there is none")


@server.tool()
async def wait(seconds: float) -> str:
    """Take time."""
    await asyncio.sleep(seconds)
    return "done"


@server.tool(name="grow it")
async def grow(context: Context) -> str:
    """Have one more tool."""

    def later() -> str:
        return "grown"

    server.add_tool(later, name="later", description="It was not there before.")
    await context.session.send_tool_list_changed()
    return "done"


if __name__ == "__main__":
    if sys.argv[1:2] == ["http"]:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
    else:
        print("starting", file=sys.stderr, flush=True)
        server.run("stdio")
