"""Errors as every route tells them: `{"error": {"code", "message", "details"?}}` with the fitting status."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Body = TypeVar("Body", bound=BaseModel)


class ApiError(Exception):
    """Something that the client is to be told.

    Args:
        status: HTTP status, 4xx or 5xx.
        code: short name for programs, such as "not_found".
        message: for people: what is wrong and what to do.
        details: more for programs, such as the offending fields.
        headers: further headers, such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Any = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.headers = headers

    def response(self) -> web.Response:
        """The error as a response."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details is not None:
            error["details"] = self.details
        return web.json_response({"error": error}, status=self.status, headers=self.headers)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into the one form."""
    try:
        return await handler(request)
    except ApiError as error:
        return error.response()
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = HTTPStatus(error.status).phrase.lower().replace(" ", "_")
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        message = error.text if error.text and not error.text.startswith(str(error.status)) else error.reason
        return ApiError(error.status, code, message, headers=headers).response()
    except Exception:
        log.exception("request failed", method=request.method, path=request.path)
        return ApiError(500, "internal_error", "Something went wrong on the server; the log has the details").response()


async def read_body(request: web.Request, limit: int) -> bytes:
    """The body, at most `limit` bytes.

    Raises:
        ApiError: 413 when it is longer.
    """
    too_large = ApiError(413, "body_too_large", f"The body may have at most {limit} bytes")
    if request.content_length is not None and request.content_length > limit:
        raise too_large
    body = bytearray()
    async for part in request.content.iter_chunked(16_384):
        body += part
        if len(body) > limit:
            raise too_large
    return bytes(body)


async def read_json(request: web.Request, model: type[Body], limit: int) -> Body:
    """The body as a validated model.

    Raises:
        ApiError: 413 too long, 400 not JSON, 422 not what the model says, naming each field.
    """
    return parse_json(await read_body(request, limit), model)


def parse_json(body: bytes, model: type[Body]) -> Body:
    """Bytes as a validated model; errors as `read_json`."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        if any(problem["type"] == "json_invalid" for problem in problems):
            raise ApiError(400, "invalid_json", "The body is not JSON") from None
        details = [
            {"field": ".".join(str(part) for part in problem["loc"]), "message": problem["msg"]} for problem in problems
        ]
        first = details[0]
        message = f"{first['field']}: {first['message']}" if first["field"] else first["message"]
        raise ApiError(422, "invalid_body", message, details) from None
