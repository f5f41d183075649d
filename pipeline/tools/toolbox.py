"""The tools of a server: what models are told of them, and running what a model asks for."""

import asyncio
import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2
import structlog
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry

from pipeline.engines.protocols import ToolCall, ToolSpec
from pipeline.tools.closed_schema import closed
from pipeline.tools.declaration import ToolDeclaration, ToolDescription
from pipeline.tools.errors import ToolError
from pipeline.tools.http_tool import HttpTool
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
        seconds: that it took; None where its end was not waited for.
    """

    call: ToolCall
    content: str
    failed: bool
    seconds: float | None = None


class Tool:
    """One tool, ready to run.

    Args:
        description: of it.
        runner: runs it.
        server: name of the MCP server that has it; "" for none.
        own_name: by which that server knows it.
        read_only: whether it changes nothing, as its server says.
    """

    def __init__(
        self,
        description: ToolDescription,
        runner: Runner,
        *,
        server: str = "",
        own_name: str = "",
        read_only: bool = False,
    ) -> None:
        self.description = description
        self.name = description.name
        self.runner = runner
        self.server = server
        self.own_name = own_name or description.name
        self.read_only = read_only
        # An empty registry: no $ref is ever fetched.
        self.validator = Draft202012Validator(closed(description.parameters), registry=Registry())


class ToolSource(Protocol):
    """Has tools that come and go, such as those of MCP servers."""

    def start(self) -> None:
        """Begin to look for them; returns at once."""

    def tools(self) -> Sequence[Tool]:
        """Those that there are now."""

    async def close(self) -> None:
        """End what runs them."""


class Toolbox:
    """Tools, and how a conversation uses them.

    Args:
        declarations: of the tools.
        rounds: how often in one turn a model may ask for tools; then it must answer.
        source: of more tools, which come and go.
        guest_hosts: of MCP servers that clients may bring along; "*" for any.

    Raises:
        pipeline.tools.errors.ToolSetupError: a tool cannot be used.
    """

    def __init__(
        self,
        declarations: Sequence[ToolDeclaration] = (),
        *,
        rounds: int = 4,
        source: ToolSource | None = None,
        guest_hosts: tuple[str, ...] = (),
    ) -> None:
        self.rounds = rounds
        self.guest_hosts = guest_hosts
        self._source = source
        self._client: httpx2.AsyncClient | None = None
        self._tools: Mapping[str, Tool] = {
            declaration.name: Tool(declaration, self._runner(declaration)) for declaration in declarations
        }
        self.specs: tuple[ToolSpec, ...] = tuple(tool.description.spec() for tool in self._tools.values())

    def _runner(self, declaration: ToolDeclaration) -> Runner:
        if declaration.url is None:
            return PythonTool(declaration)
        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=None)
        return HttpTool(declaration, self._client)

    @property
    def descriptions(self) -> tuple[ToolDescription, ...]:
        """Of all tools."""
        return tuple(tool.description for tool in self._tools.values())

    def start(self) -> None:
        """Begin to look for the tools that come and go; returns at once."""
        if self._source is not None:
            self._source.start()

    def now(self) -> "Toolbox":
        """The tools of this moment: a conversation keeps those that it began with, as models keep what they read."""
        return self if self._source is None else self.plus(self._source.tools())

    def plus(self, tools: Iterable[Tool], rounds: int | None = None) -> "Toolbox":
        """These tools and others, which do not take the place of those of the same name; closing it closes nothing."""
        others = {tool.description.name: tool for tool in tools if tool.description.name not in self._tools}
        return self._of({**self._tools, **others}, rounds)

    def having(self, *own: Tool) -> "Toolbox":
        """These tools and some of one call's own, which take the place of those of the same name."""
        return self._of({**self._tools, **{tool.name: tool for tool in own}})

    def wait_for_user(self, calls: Iterable[ToolCall]) -> bool:
        """Whether one of these calls waits for something that the user does."""
        known = (self._tools[call.name].description for call in calls if call.name in self._tools)
        return any(each.waits_for_user for each in known)

    def of_server(self, name: str) -> list[Tool]:
        """The tools of one MCP server."""
        return [tool for tool in self._tools.values() if tool.server and tool.server == name]

    def without(self, names: Collection[str]) -> "Toolbox":
        """The same without some."""
        return self._of({name: tool for name, tool in self._tools.items() if name not in names})

    def in_writing(self) -> "Toolbox":
        """Those that may run where no user can be asked."""
        return self._of({name: tool for name, tool in self._tools.items() if not tool.description.confirm})

    def _of(self, tools: Mapping[str, Tool], rounds: int | None = None) -> "Toolbox":
        box = Toolbox(rounds=self.rounds if rounds is None else rounds, guest_hosts=self.guest_hosts)
        box._tools = tools
        box.specs = tuple(tool.description.spec() for tool in tools.values())
        return box

    def find(self, name: str) -> ToolDescription | None:
        """A tool by its name."""
        tool = self._tools.get(name)
        return None if tool is None else tool.description

    def longest_s(self, calls: Sequence[ToolCall]) -> float:
        """Seconds by which the results of all of these calls are there."""
        known = [self._tools[call.name].description.timeout_s for call in calls if call.name in self._tools]
        return max(known, default=0.0)

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
        limit_s = tool.description.timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await tool.runner.run(arguments)
        except TimeoutError:
            raise ToolError(f"the tool took longer than {limit_s:g} s") from None

    def problem(self, call: ToolCall) -> str:
        """Why a call cannot be run, in words for the model; "" where it can."""
        tool = self._tools.get(call.name)
        try:
            if tool is not None:
                _checked(call.arguments, tool.validator)
        except ToolError as error:
            return f"Error: {error}"
        return ""

    async def close(self) -> None:
        """Close the connections."""
        if self._source is not None:
            await self._source.close()
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
