"""Errors as every route tells them: `{"error": {"code", "message", "details"?}}` with the fitting status.

Routes under `/v1/` say "type" and "param" too, as OpenAI's clients know them.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, TypeAdapter, ValidationError

from persistence.errors import BadCursorError, InvalidTextError, StoreUnavailableError, TextTooLongError
from server.bounds import MAX_JSON_LISTS, MAX_JSON_PARTS, MAX_PROBLEMS
from server.http.held_bytes import TooMuchHeldError, hold_of
from server.http.json_parts import has_too_many_parts

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Body = TypeVar("Body", bound=BaseModel)
Message = TypeVar("Message")

_JSON_TYPE = re.compile(r"application/([\w.-]+\+)?json")


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

    def body(self, openai: bool = False) -> dict[str, Any]:
        """The error as JSON.

        Args:
            openai: whether to say "type" and "param" too (https://platform.openai.com/docs/guides/error-codes).
        """
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if openai:
            first = self.details[0] if isinstance(self.details, list) and self.details else {}
            kind = "server_error" if self.status >= 500 else "invalid_request_error"
            error |= {"type": kind, "param": first.get("field") if isinstance(first, dict) else None}
        if self.details is not None:
            error["details"] = self.details
        return {"error": error}

    def response(self, openai: bool = False) -> web.Response:
        """The error as a response; `openai` as in `body`."""
        return web.json_response(self.body(openai), status=self.status, headers=self.headers)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into the one form."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        told = _of_http(error)
    except ConnectionError:
        # The client is gone, so nobody can be told anything.
        raise
    except Exception as error:
        told = _told(request, error)
    response = told.response(openai=request.path.startswith(("/v1/", "/openai/v1/")))
    if request.content.exception() is not None:
        # What still comes of a broken or overdue body belongs to no request: this connection is done.
        request.content.feed_eof()
        response.force_close()
    return response


def _told(request: web.Request, error: Exception) -> ApiError:
    match error:
        case ApiError():
            return error
        case web.RequestPayloadError() | HttpProcessingError():
            return ApiError(400, "broken_body", "The body is not what its headers say: encoding, or form and boundary")
        case StoreUnavailableError() | InvalidTextError() | BadCursorError():
            return _of_memory(error)
        case TooMuchHeldError():
            message = "Too much of what clients sent waits to be worked on; try again soon"
            return ApiError(503, "busy", message, headers={"Retry-After": "5"})
    log.exception("request failed", method=request.method, path=request.path)
    return ApiError(500, "internal_error", "Something went wrong on the server; the log has the details")


def _of_http(error: web.HTTPException) -> ApiError:
    code = HTTPStatus(error.status).phrase.lower().replace(" ", "_")
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    message = error.text if error.text and not error.text.startswith(str(error.status)) else error.reason
    return ApiError(error.status, code, message, headers=headers)


def _of_memory(error: StoreUnavailableError | InvalidTextError | BadCursorError) -> ApiError:
    """What memory could not do, for clients."""
    match error:
        case TextTooLongError():
            return ApiError(413, "too_long", str(error))
        case InvalidTextError():
            return ApiError(422, "invalid_text", str(error))
        case BadCursorError():
            return ApiError(400, "bad_cursor", str(error))
    log.warning("memory does not answer", problem=str(error))
    message = "What is remembered cannot be read now; calls go on, and the same request may work in a moment"
    return ApiError(503, "memory_unavailable", message, headers={"Retry-After": "2"})


async def read_body(request: web.Request, limit: int) -> bytes:
    """The body, at most `limit` bytes.

    Raises:
        ApiError: 413 when it is longer.
        TooMuchHeldError: too much is in hand.
    """
    too_large = ApiError(413, "body_too_large", f"The body may have at most {limit} bytes")
    if request.content_length is not None and request.content_length > limit:
        raise too_large
    body, hold = bytearray(), hold_of(request)
    async for part in request.content.iter_chunked(16_384):
        body += part
        if len(body) > limit:
            raise too_large
        hold.more(len(part))
        # All of a compressed body can be there at once; others have their turn in between.
        await asyncio.sleep(0)
    return bytes(body)


def require_json(request: web.Request) -> None:
    """Take a body that says nothing of its type for JSON.

    Raises:
        ApiError: 415 when it says that it is something else.
    """
    if "Content-Type" in request.headers and not _JSON_TYPE.fullmatch(request.content_type):
        raise ApiError(415, "unsupported_media_type", "The body must be JSON, with `Content-Type: application/json`")


async def read_json(request: web.Request, model: type[Body], limit: int, most_values: int = MAX_JSON_PARTS) -> Body:
    """The body as a validated model, of so many bytes and values.

    Raises:
        ApiError: 415 of another type, 413 too long, 400 not JSON, 422 not what the model says, naming each field.
    """
    require_json(request)
    return parse_json(await read_body(request, limit), model, most_values)


def parse_json(body: bytes, model: type[Body], most_values: int = MAX_JSON_PARTS) -> Body:
    """Bytes as a validated model; errors as `read_json`."""
    _refuse_many_parts(body, most_values)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        _refuse_many(error, "invalid_body")
        if any(problem["type"] == "json_invalid" for problem in _problems(error)):
            raise ApiError(400, "invalid_json", "The body is not JSON") from None
        raise _explained(error, "invalid_body") from None


def parse_socket_message(text: str, messages: "TypeAdapter[Message]") -> Message:
    """A text message of a WebSocket, as what its "type" says that it is.

    It is read by its form from the start, so that it cannot nest deeper than any form does.

    Args:
        text: as it came.
        messages: the union of what is possible, told apart by "type".

    Raises:
        ApiError: 400 no JSON or of no known type, 422 not what its type asks for, naming the field.
    """
    data = text.encode("utf-8", "surrogatepass")
    _refuse_many_parts(data, MAX_JSON_PARTS)
    try:
        return messages.validate_json(data)
    except ValidationError as error:
        _refuse_many(error, "invalid_body")
        problem = error.errors(include_url=False, include_input=False)[0]
        match problem["type"]:
            case "json_invalid":
                message = "Text messages are JSON; audio comes in binary ones"
                raise ApiError(400, "invalid_json", message) from None
            case "union_tag_invalid":
                known = problem["ctx"]["expected_tags"].replace("'", "")
                raise ApiError(400, "unknown_message", f"type: known are {known}") from None
            case "union_tag_not_found" | "dict_type" | "model_attributes_type":
                raise ApiError(400, "unknown_message", 'A message is an object with a "type"') from None
        raise _explained(error, "invalid_body", skip=1) from None


def read_query(request: web.Request, model: type[Body]) -> Body:
    """What stands behind the question mark and in the path, as a validated model.

    Raises:
        ApiError: 422, naming each field.
    """
    try:
        # A token there is read by the guard, and of no concern to the route.
        query = {name: value for name, value in request.query.items() if name != "token"}
        return model.model_validate({**query, **request.match_info})
    except ValidationError as error:
        raise _explained(error, "invalid_parameter") from None


def _refuse_many_parts(json: bytes, most: int) -> None:
    """Raises ApiError where a text has more values than its form needs."""
    if has_too_many_parts(json, most):
        raise ApiError(
            422, "too_many_values", f"JSON may have at most {most} values, and {MAX_JSON_LISTS} lists and objects"
        )


def _problems(error: ValidationError) -> list[Any]:
    """What is wrong, without what it is wrong with: to make objects of a whole body takes its time."""
    return error.errors(include_url=False, include_context=False, include_input=False)


def _refuse_many(error: ValidationError, code: str) -> None:
    """Raises ApiError where there are too many problems to tell: only to list them would take its time."""
    count = error.error_count()
    if count > MAX_PROBLEMS:
        message = f"{count} fields are not of the form that is expected; the description at /docs has it"
        raise ApiError(422, code, message)


def _explained(error: ValidationError, code: str, skip: int = 0) -> ApiError:
    """The problems by field; `skip` parts at the front of their names are none."""
    problems = _problems(error)
    details = [
        {
            "field": ".".join(str(part) for part in problem["loc"][skip:]),
            "message": problem["msg"].removeprefix("Value error, "),
        }
        for problem in problems
    ]
    first = details[0]
    message = f"{first['field']}: {first['message']}" if first["field"] else first["message"]
    return ApiError(422, code, message, details)
