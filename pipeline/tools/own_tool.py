"""A tool of one call, run by whatever the call is on: hanging up, passing on, reading keys."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pipeline.tools.declaration import ToolDescription
from pipeline.tools.toolbox import Tool


@dataclass(frozen=True, slots=True)
class _Function:
    """Runs a coroutine function.

    Attributes:
        function: takes the arguments and returns the result.
    """

    function: Callable[[dict[str, Any]], Awaitable[str]]

    async def run(self, arguments: dict[str, Any]) -> str:
        """See `pipeline.tools.toolbox.Runner`."""
        return await self.function(arguments)


def own_tool(description: ToolDescription, function: Callable[[dict[str, Any]], Awaitable[str]]) -> Tool:
    """Such a tool; `pipeline.tools.toolbox.Toolbox.having` puts it beside those of the server.

    Args:
        description: what the model is told.
        function: takes the arguments, which fit the description, and returns the result in words for the model; raises
            `ToolError` with words for it.
    """
    return Tool(description, _Function(function))
