"""What the owner of a server says of a tool."""

import re
from typing import Annotated, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from pipeline.engines.protocols import ToolSpec

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class ToolDeclaration(BaseModel):
    """A tool: what the model is told of it, and where it runs.

    Attributes:
        name: by which the model asks for it.
        description: what it does and when to use it, for the model.
        parameters: JSON schema (2020-12) of its arguments, an object.
        url: where its arguments are POSTed as JSON; the body of the answer is the result.
        headers: sent along, such as Authorization.
        function: in place of a URL, "module:function" of a Python function (plain or async) that takes the arguments
            by keyword and returns the result.
        timeout_s: the result must be there by then.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: Annotated[str, Field(min_length=1, max_length=1024)]
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    url: Annotated[str, Field(pattern="^https?://")] | None = None
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    function: str | None = None
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0

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

    def spec(self) -> ToolSpec:
        """What the model is told."""
        return ToolSpec(self.name, self.description, self.parameters)
