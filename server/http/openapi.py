"""The description of an application's routes in OpenAPI 3.1, made from what validates their requests.

https://spec.openapis.org/oas/v3.1.1
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, Field
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from server.http.operation import JSON, Answer, Operation, operation_of
from server.version import version

Schema = dict[str, Any]

REFERENCES = "#/components/schemas/{model}"

BODY_ERRORS = (400, 408, 413, 415, 422)
"""What any body may be answered with: not JSON, too slow, too long, of another type, not what the schema says."""

KEY = "key"
KEY_ABOUT = "A key, a JWT of the identity provider, or a token of `POST /api/tokens`, with the scope that is named."

TITLES = {
    "core": "Morgan",
    "llm": "Morgan: the language model",
    "tts": "Morgan: speech synthesis",
    "stt": "Morgan: transcription",
}


class ErrorDetail(BaseModel):
    """What is wrong, for programs."""

    code: str = Field(description='Short name, such as "not_found".')
    message: str = Field(description="For people: what is wrong and what to do.")
    details: Any = Field(None, description="More, such as the offending fields.")


class ErrorBody(BaseModel):
    """Every error of every route."""

    error: ErrorDetail


@dataclass(frozen=True, slots=True)
class Route:
    """A described route.

    Attributes:
        method: lower case.
        path: with parameters in braces.
        name: of its handler.
        about: the handler's docstring, cleaned.
        operation: what it takes and gives.
    """

    method: str
    path: str
    name: str
    about: str
    operation: Operation


def described_routes(app: web.Application) -> list[Route]:
    """The routes of an application that say what they are; static files do not."""
    found = []
    for route in app.router.routes():
        operation = operation_of(route.handler)
        if operation is None or route.method == "HEAD" or route.resource is None:
            continue
        about = inspect.cleandoc(route.handler.__doc__ or "")
        name = getattr(route.handler, "__name__", "")
        found.append(Route(route.method.lower(), route.resource.canonical, name, about, operation))
    return found


def describe(app: web.Application, service: str, *, keys: bool) -> Schema:
    """The OpenAPI document of an application.

    Args:
        app: with all its routes.
        service: "core", "llm", "tts" or "stt".
        keys: whether requests need one.
    """
    routes = described_routes(app)
    schemas = _Schemas([route.operation for route in routes if not route.operation.socket])
    paths: dict[str, Schema] = {}
    for route in routes:
        if not route.operation.socket:
            paths.setdefault(route.path, {})[route.method] = _operation(route, schemas, keys=keys)
    document: Schema = {
        "openapi": "3.1.0",
        "info": {"title": TITLES[service], "version": version(), "description": _about(routes)},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in sorted({route.operation.tag for route in routes})],
        "paths": paths,
        "components": {"schemas": schemas.definitions},
    }
    if keys:
        document["components"]["securitySchemes"] = {
            KEY: {"type": "http", "scheme": "bearer", "description": KEY_ABOUT}
        }
        document["security"] = [{KEY: []}]
    sockets = [{"path": route.path, "scope": _scope(route.operation)} for route in routes if route.operation.socket]
    if sockets:
        document["x-websockets"] = sockets
    return document


def _scope(operation: Operation) -> str:
    return operation.scope or "admin"


def _about(routes: list[Route]) -> str:
    """The description of the whole, with the WebSockets in it."""
    lines = [
        'Errors of every route have the form `{"error": {"code", "message", "details"?}}`.',
        *([""] if any(route.operation.socket for route in routes) else []),
        *(f"WebSocket `{route.path}`: {' '.join(route.about.split())}" for route in routes if route.operation.socket),
    ]
    return "\n".join(lines)


class _Schemas:
    """The models of all operations, each once, under names that do not clash."""

    def __init__(self, operations: list[Operation]) -> None:
        wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ErrorBody, "serialization")]
        for operation in operations:
            wanted += [(answer.model, "serialization") for answer in operation.answers.values() if answer.model]
            wanted += [(model, "validation") for model in (operation.body, operation.params) if model]
        # By hand rather than with set(): the document must come out the same every time.
        unique = list(dict.fromkeys(wanted))
        references, made = models_json_schema(unique, ref_template=REFERENCES)
        self._references = references
        self.definitions: dict[str, Schema] = made.get("$defs", {})
        # Parameters are described one by one where they are used.
        self._params = {
            operation.params: self._resolved(operation.params) for operation in operations if operation.params
        }
        used = {self._references[(model, "validation")]["$ref"] for model in self._params}
        bodies = {self._references[key]["$ref"] for key in unique if key[0] not in self._params}
        for reference in used - bodies:
            self.definitions.pop(_name(reference), None)

    def reference(self, model: type[BaseModel], mode: Literal["validation", "serialization"]) -> Schema:
        """A pointer to a model's schema."""
        return dict(self._references[(model, mode)])

    def params(self, model: type[BaseModel]) -> Schema:
        """The schema of parameters, an object."""
        return self._params[model]

    def _resolved(self, model: type[BaseModel]) -> Schema:
        return self.definitions[_name(self._references[(model, "validation")]["$ref"])]


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _operation(route: Route, schemas: _Schemas, *, keys: bool) -> Schema:
    operation = route.operation
    summary, _, description = route.about.partition("\n")
    found: Schema = {"operationId": route.name, "tags": [operation.tag], "summary": summary.strip().rstrip(".")}
    if description.strip():
        found["description"] = description.strip()
    if operation.params is not None:
        found["parameters"] = list(_parameters(route.path, schemas.params(operation.params)))
    content = _request_content(operation, schemas)
    if content:
        found["requestBody"] = {"required": True, "content": content}
    found["responses"] = _responses(route, schemas, keys=keys)
    if keys:
        # https://spec.openapis.org/oas/v3.1.1#security-requirement-object
        found["security"] = [] if operation.open else [{KEY: [_scope(operation)]}]
    return found


def _parameters(path: str, schema: Schema) -> Iterator[Schema]:
    required = schema.get("required", [])
    for name, described in schema.get("properties", {}).items():
        in_path = f"{{{name}}}" in path
        described = {key: value for key, value in _never_null(described).items() if key != "title"}
        about = described.pop("description", None)
        parameter = {
            "name": name,
            "in": "path" if in_path else "query",
            "required": in_path or name in required,
            "schema": described,
        }
        yield parameter | ({"description": about} if about else {})


def _never_null(schema: Schema) -> Schema:
    """A query cannot say null: leaving a parameter out is what None stands for."""
    choices = schema.get("anyOf")
    if not choices:
        return schema
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    if schema.get("default") is not None:
        rest["default"] = schema["default"]
    real = [choice for choice in choices if choice.get("type") != "null"]
    return {**rest, **(real[0] if len(real) == 1 else {"anyOf": real})}


def _request_content(operation: Operation, schemas: _Schemas) -> Schema:
    content: Schema = {}
    if operation.body is not None:
        content[JSON] = {"schema": schemas.reference(operation.body, "validation")}
    for media_type in operation.uploads:
        if media_type == JSON and JSON in content:
            continue
        if media_type == "multipart/form-data" and operation.upload_schema is not None:
            content[media_type] = {"schema": dict(operation.upload_schema)}
        else:
            # OpenAPI 3.1 leaves the schema of raw bytes out.
            content[media_type] = {}
    return content


def _responses(route: Route, schemas: _Schemas, *, keys: bool) -> Schema:
    operation = route.operation
    found = {str(status): _answer(answer, schemas) for status, answer in sorted(operation.answers.items())}
    for status in sorted(_error_statuses(route, keys=keys)):
        if str(status) not in found:
            found[str(status)] = _error(status, schemas)
    return found


def _error_statuses(route: Route, *, keys: bool) -> set[int]:
    operation = route.operation
    statuses = {*operation.errors, 403}
    if operation.params is not None:
        statuses.add(422)
    if operation.body is not None or operation.uploads:
        statuses.update(BODY_ERRORS)
    if keys and not operation.open:
        statuses.update((401, 429))
    if operation.cost is not None:
        statuses.add(429)
    return statuses


def _answer(answer: Answer, schemas: _Schemas) -> Schema:
    content: Mapping[str, Schema] = {media_type: {} for media_type in answer.content}
    if answer.model is not None:
        content = {JSON: {"schema": schemas.reference(answer.model, "serialization")}, **content}
    found: Schema = {"description": answer.about}
    if content:
        found["content"] = dict(content)
    if answer.headers:
        found["headers"] = {
            name: {"description": about, "schema": {"type": "string"}} for name, about in answer.headers.items()
        }
    return found


def _error(status: int, schemas: _Schemas) -> Schema:
    return {
        "description": HTTPStatus(status).phrase,
        "content": {JSON: {"schema": schemas.reference(ErrorBody, "serialization")}},
    }
