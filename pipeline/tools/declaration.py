"""The declaration of a tool by the owner of a server."""

import re
from typing import Annotated, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from pipeline.engines.protocols import ToolSpec

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


LONGEST_S = 120.0
"""Most seconds that a reply waits for a tool; one in the background may take longer."""


class ToolDescription(BaseModel):
    """A tool as a conversation knows it: what the model is told of it, and how it is used.

    Attributes:
        name: by which the model asks for it.
        description: what it does and when to use it, for the model.
        parameters: JSON schema (2020-12) of its arguments, an object.
        timeout_s: the result must be there by then.
        background: the talk goes on while it runs; its result is told when nobody speaks.
        confirm: in a call the user is asked first, and only a yes runs it; in writing it is not offered.
        confirm_question: what they are asked, with arguments by name ("Shall I call {who}?"); "" for one that names
            the tool and its arguments.
        filler: said while it runs, in place of the server's; "" for that one.
        waits_for_user: it is the user who takes their time, so that nothing is said meanwhile.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: Annotated[str, Field(min_length=1, max_length=1024)]
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    background: bool = False
    confirm: bool = False
    confirm_question: Annotated[str, Field(max_length=300)] = ""
    filler: Annotated[str, Field(max_length=200)] = ""
    waits_for_user: bool = False

    @field_validator("parameters")
    @classmethod
    def _schema(cls, schema: dict[str, Any]) -> dict[str, Any]:
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise ValueError(f"is no JSON schema: {error.message}") from None
        if schema.get("type") != "object":
            raise ValueError('must describe an object: {"type": "object", "properties": {...}}')
        return schema

    @model_validator(mode="after")
    def _patience(self) -> "ToolDescription":
        if self.timeout_s > LONGEST_S and not self.background:
            raise ValueError(f"tool {self.name}: only one with background = true may take longer than {LONGEST_S:g} s")
        return self

    def spec(self) -> ToolSpec:
        """What the model is told."""
        return ToolSpec(self.name, self.description, self.parameters)


class ToolDeclaration(ToolDescription):
    """A tool of the server's own, and where it runs.

    Attributes:
        url: where its arguments are POSTed as JSON; the body of the answer is the result.
        headers: sent along, such as Authorization.
        function: in place of a URL, "module:function" of a Python function (plain or async) that takes the arguments
            by keyword and returns the result.
    """

    url: Annotated[str, Field(pattern="^https?://")] | None = None
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    function: str | None = None

    @field_validator("function")
    @classmethod
    def _entry_point(cls, function: str | None) -> str | None:
        if function is not None and not _FUNCTION.fullmatch(function):
            raise ValueError('must be "module:function"')
        return function

    @model_validator(mode="after")
    def _one_place(self) -> "ToolDeclaration":
        if (self.url is None) == (self.function is None):
            raise ValueError(f"tool {self.name}: give either url or function")
        if self.headers and self.url is None:
            raise ValueError(f"tool {self.name}: headers go with url")
        return self
