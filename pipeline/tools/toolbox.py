"""The tools of a server: what models are told of them, and running what a model asks for."""

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2
import structlog
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry

from pipeline.engines.protocols import ToolCall, ToolSpec
from pipeline.tools.closed_schema import closed
from pipeline.tools.declaration import ToolDeclaration
from pipeline.tools.errors import ToolError
from pipeline.tools.http_tool import HttpTool
from pipeline.tools.own_tool import OwnTool
from pipeline.tools.python_tool import PythonTool

MAX_ARGUMENTS = 32_000
"""Characters of arguments that are looked at."""

MAX_RESULT = 8_000
"""Characters of a result that a model gets to see."""

CUT = " [cut: the result was longer]"

log = structlog.get_logger(__name__)


class Runner(Protocol):
    """Runs one tool; raises `ToolError` with words for the model."""

    async def run(self, arguments: dict[str, Any]) -> str: ...


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a tool call.

    Attributes:
        call: what was asked.
        content: the result, or what went wrong, in words for the model.
        failed: whether something went wrong.
        seconds: that it took; None where nobody waited for its end.
    """

    call: ToolCall
    content: str
    failed: bool
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Tool:
    declaration: ToolDeclaration | OwnTool
    runner: Runner
    validator: Draft202012Validator


class Toolbox:
    """Tools, and how a conversation uses them.

    Args:
        declarations: of the tools.
        rounds: how often in one turn a model may ask for tools; then it must answer.

    Raises:
        pipeline.tools.errors.ToolSetupError: a tool cannot be used.
    """

    def __init__(
        self,
        declarations: Sequence[ToolDeclaration] = (),
        *,
        rounds: int = 4,
    ) -> None:
        self.declarations: tuple[ToolDeclaration | OwnTool, ...] = tuple(declarations)
        self.specs: tuple[ToolSpec, ...] = tuple(declaration.spec() for declaration in declarations)
        self.rounds = rounds
        self._client: httpx2.AsyncClient | None = None
        self._tools = {declaration.name: self._tool(declaration) for declaration in declarations}

    def having(self, *own: OwnTool) -> "Toolbox":
        """These tools and some of one call's own, which take the place of those of the same name."""
        box = Toolbox(rounds=self.rounds)
        names = {tool.name for tool in own}
        box.declarations = (*(each for each in self.declarations if each.name not in names), *own)
        box.specs = tuple(each.spec() for each in box.declarations)
        box._tools = {**self._tools, **{tool.name: self._tool(tool) for tool in own}}
        return box

    def _tool(self, declaration: ToolDeclaration | OwnTool) -> _Tool:
        # An empty registry: no $ref is ever fetched.
        validator = Draft202012Validator(closed(declaration.parameters), registry=Registry())
        return _Tool(declaration, self._runner(declaration), validator)

    def _runner(self, declaration: ToolDeclaration | OwnTool) -> Runner:
        if isinstance(declaration, OwnTool):
            return declaration
        if declaration.url is None:
            return PythonTool(declaration)
        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=None)
        return HttpTool(declaration, self._client)

    def longest_s(self, calls: Sequence[ToolCall]) -> float:
        """Seconds by which the results of all of these calls are there."""
        known = [self._tools[call.name].declaration.timeout_s for call in calls if call.name in self._tools]
        return max(known, default=0.0)

    def wait_for_user(self, calls: Iterable[ToolCall]) -> bool:
        """Whether one of these calls waits for something that the user does."""
        known = (self._tools[call.name].declaration for call in calls if call.name in self._tools)
        return any(isinstance(each, OwnTool) and each.waits_for_user for each in known)

    async def run(self, call: ToolCall) -> ToolResult:
        """Do what a model asks; whatever goes wrong is told in the result. Cancelling stops the tool."""
        began = time.monotonic()
        try:
            content, failed = await self._content(call), False
        except ToolError as error:
            content, failed = f"Error: {error}", True
        except Exception as error:
            log.exception("a tool broke", tool=call.name[:64], error=str(error))
            content, failed = "Error: the tool failed", True
        if len(content) > MAX_RESULT:
            content = content[: MAX_RESULT - len(CUT)] + CUT
        seconds = time.monotonic() - began
        (log.warning if failed else log.info)("tool ran", tool=call.name[:64], failed=failed, seconds=round(seconds, 3))
        return ToolResult(call, content, failed, seconds)

    async def _content(self, call: ToolCall) -> str:
        tool = self._tools.get(call.name)
        if tool is None:
            raise ToolError(f"there is no tool {call.name!r}; there are {', '.join(sorted(self._tools)) or 'none'}")
        arguments = _checked(call.arguments, tool.validator)
        limit_s = tool.declaration.timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await tool.runner.run(arguments)
        except TimeoutError:
            raise ToolError(f"the tool took longer than {limit_s:g} s") from None

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()


NO_TOOLS = Toolbox()
"""Nothing that a model could ask for."""


def _checked(arguments: str, validator: Draft202012Validator) -> dict[str, Any]:
    """The arguments, as the schema has them.

    Raises:
        ToolError: they are not.
    """
    if len(arguments) > MAX_ARGUMENTS:
        raise ToolError(f"the arguments are longer than {MAX_ARGUMENTS} characters")
    try:
        parsed = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        raise ToolError("the arguments are not JSON") from None
    problem = best_match(validator.iter_errors(parsed))
    if problem is not None:
        where = ".".join(str(part) for part in problem.absolute_path)
        raise ToolError(f"the arguments do not fit: {where + ': ' if where else ''}{problem.message[:500]}")
    if not isinstance(parsed, dict):
        raise ToolError("the arguments are no object")
    return parsed
