"""A tool of one call, run by whatever the call is on: hanging up, passing on, reading keys."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pipeline.engines.protocols import ToolSpec


@dataclass(frozen=True, slots=True)
class OwnTool:
    """Such a tool; `pipeline.tools.toolbox.Toolbox.having` puts it beside those of the server.

    Attributes:
        name: by which the model asks for it.
        description: what it does and when to use it, for the model.
        function: takes the arguments, which fit `parameters`, and returns the result in words for the model; raises
            `ToolError` with words for it.
        parameters: JSON schema (2020-12) of its arguments, an object.
        timeout_s: the result must be there by then.
        waits_for_user: it is the user who takes their time, so that nothing is said meanwhile.
    """

    name: str
    description: str
    function: Callable[[dict[str, Any]], Awaitable[str]]
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    timeout_s: float = 10.0
    waits_for_user: bool = False

    def spec(self) -> ToolSpec:
        """What the model is told."""
        return ToolSpec(self.name, self.description, self.parameters)

    async def run(self, arguments: dict[str, Any]) -> str:
        """See `pipeline.tools.toolbox.Runner`."""
        return await self.function(arguments)
