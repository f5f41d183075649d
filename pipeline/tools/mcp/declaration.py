"""The declaration of an MCP server by the owner of a server."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from pipeline.tools.declaration import LONGEST_S

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")

SomeTools = bool | Annotated[tuple[Annotated[str, Field(max_length=128)], ...], Field(max_length=256)]
"""All of a server's tools, none of them, or those of these names."""


class McpServer(BaseModel):
    """An MCP server, and how its tools are used.

    Attributes:
        name: in front of the names of its tools: "time" makes `time_convert_time` of `convert_time`.
        command: a program that speaks MCP over its standard streams, found as a shell would, with
        args: arguments,
        env: variables that it gets besides HOME, PATH and the like; nothing else of Morgan's environment,
        cwd: and the folder that it runs in.
        url: in place of a program, the address of a server that speaks streamable HTTP, with
        headers: sent along, such as Authorization.
        tools: names of those that are offered; empty for all.
        confirm: those that run only after the user has said yes, see `ToolDescription.confirm`.
        background: those during which the talk goes on, see `ToolDescription.background`.
        filler: said while one runs; "" for the server's.
        timeout_s: a result must be there by then.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
    command: Annotated[str, Field(min_length=1)] | None = None
    args: tuple[str, ...] = ()
    env: dict[str, SecretStr] = Field(default_factory=dict)
    cwd: str | None = None
    url: Annotated[str, Field(pattern="^https?://")] | None = None
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    tools: tuple[str, ...] = ()
    confirm: SomeTools = False
    background: SomeTools = False
    filler: Annotated[str, Field(max_length=200)] = ""
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 20.0

    @model_validator(mode="after")
    def _one_place(self) -> "McpServer":
        if (self.url is None) == (self.command is None):
            raise ValueError(f"MCP server {self.name}: give either command or url")
        if self.url is None and self.headers:
            raise ValueError(f"MCP server {self.name}: headers go with url")
        if self.command is None and (self.args or self.env or self.cwd):
            raise ValueError(f"MCP server {self.name}: args, env and cwd go with command")
        if self.timeout_s > LONGEST_S and self.background is False:
            raise ValueError(f"MCP server {self.name}: only tools in the background take longer than {LONGEST_S:g} s")
        return self

    def has(self, which: Literal["confirm", "background"], tool: str) -> bool:
        """Whether one of its tools, by the server's own name for it, is one of these."""
        some: bool | tuple[str, ...] = getattr(self, which)
        return some if isinstance(some, bool) else tool in some


def tool_name(server: str, tool: str) -> str:
    """The name by which models know a server's tool."""
    return f"{server}_{_NOT_IN_NAMES.sub('_', tool)}"[:64]
