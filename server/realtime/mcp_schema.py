"""What clients may say of MCP servers: tools of the type "mcp".

Fields are OpenAI's. Which servers a client may name is the owner's to say: whatever is reached from here would be
reached in the server's name.
"""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

Names = Annotated[list[Annotated[str, Field(max_length=128)]], Field(max_length=256)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ToolFilter(_Part):
    """Some of a server's tools."""

    tool_names: Names | None = None
    read_only: bool | None = None

    def has(self, name: str, *, read_only: bool) -> bool:
        """Whether a tool is one of them."""
        named = self.tool_names is None or name in self.tool_names
        return named and (self.read_only is None or self.read_only is read_only)


class ApprovalFilter(_Part):
    """Tools that have to be approved of, and tools that need not."""

    always: ToolFilter | None = None
    never: ToolFilter | None = None


class McpTool(_Part):
    """A server of tools, which this server asks by itself."""

    type: Literal["mcp"]
    server_label: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
    server_url: Annotated[str, Field(max_length=2048, pattern="^https?://")] | None = None
    server_description: Annotated[str, Field(max_length=8_192)] | None = None
    authorization: Annotated[str, Field(max_length=8_192)] | None = None
    headers: Annotated[dict[str, Annotated[str, Field(max_length=8_192)]], Field(max_length=32)] | None = None
    allowed_tools: Names | ToolFilter | None = None
    require_approval: Literal["always", "never"] | ApprovalFilter | None = None
    connector_id: Any = None
    tunnel_id: Any = None
    allowed_callers: Any = None
    defer_loading: bool | None = None

    @field_validator("server_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        try:
            parts = urlsplit(value or "http://none")
            # Reading the port is what finds out whether it is one.
            known = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            known = False
        if not known:
            raise PydanticCustomError("no_address", "it is no address such as https://example.org/mcp")
        return value

    @field_validator("connector_id", "tunnel_id")
    @classmethod
    def _not_here(cls, value: Any) -> None:
        if value is not None:
            message = "OpenAI's connectors and tunnels are not to be had here: give a `server_url`"
            raise PydanticCustomError("unsupported", "{message}", {"message": message})

    @property
    def host(self) -> str:
        """Of its address; "" where it has none."""
        return urlsplit(self.server_url or "").hostname or ""

    def allows(self, name: str, *, read_only: bool) -> bool:
        """Whether a tool of the server, by its own name for it, is offered to the model."""
        match self.allowed_tools:
            case None:
                return True
            case ToolFilter():
                return self.allowed_tools.has(name, read_only=read_only)
        return name in self.allowed_tools

    def asks(self, name: str, *, read_only: bool) -> bool:
        """Whether the client has to approve of each call of a tool; of OpenAI's it has, where nothing is said."""
        match self.require_approval:
            case "never":
                return False
            case ApprovalFilter(always=always, never=never):
                if never is not None and never.has(name, read_only=read_only):
                    return False
                return always is None or always.has(name, read_only=read_only) or never is not None
        return True

    def shown(self) -> dict[str, Any]:
        """As clients see it: without what is secret."""
        return self.model_dump(exclude_none=True, exclude={"authorization", "headers"})


class NamedMcp(_Part):
    """The server whose tools, or the tool, that has to be called."""

    type: Literal["mcp"]
    server_label: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
    name: Annotated[str, Field(max_length=128)]
