"""What a Realtime session refuses, in OpenAI's words: type, code, message, param."""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from server.bounds import MAX_PROBLEMS

Model = TypeVar("Model")

_CODES = {
    "missing": "missing_required_parameter",
    "extra_forbidden": "unknown_parameter",
    "union_tag_not_found": "missing_required_parameter",
    "unsupported": "unsupported_parameter",
}
"""OpenAI's codes for what Pydantic calls a problem; about a type it is `invalid_type`, else `invalid_value`."""


class RealtimeError(Exception):
    """Something that a client event asks for and does not get; the session goes on.

    Args:
        code: short name for programs.
        message: for people: what is wrong and what to do.
        param: which part of the event it is about.
        kind: OpenAI's "type".
    """

    def __init__(self, code: str, message: str, param: str | None = None, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.kind = kind


def unsupported(param: str, message: str) -> RealtimeError:
    """The refusal of something that OpenAI has and this server has not."""
    return RealtimeError("unsupported_parameter", message, param)


_DOING = {"retrieve": "retrieving", "delete": "deleting", "truncate": "truncating"}


def no_such_item(item_id: str, verb: str | None = None) -> RealtimeError:
    """The refusal of an item that is not there (any more).

    Clients know the codes: to them it is a race and no fault, while of an error that they do not know some say nothing
    more to their users and others hang up.

    Args:
        item_id: of it.
        verb: what the client wants to do to it ("retrieve", "delete", "truncate"); None for anything else.
    """
    if verb is None:
        return RealtimeError("item_not_found", f"There is no item with the id '{item_id}'.", "item_id")
    message = f"Error {_DOING[verb]} item: the item with id '{item_id}' does not exist."
    return RealtimeError(f"item_{verb}_invalid_item_id", message, "item_id")


def validated(adapter: TypeAdapter[Model], value: Any, prefix: str = "") -> Model:
    """A value as what it has to be.

    Args:
        adapter: of the form.
        value: as JSON gave it.
        prefix: what the value is called, in `RealtimeError.param`.

    Raises:
        RealtimeError: naming the first problem and its place.
    """
    try:
        return adapter.validate_python(value, strict=True)
    except ValidationError as error:
        # Only to list very many takes its time, and one is told.
        if (count := error.error_count()) > MAX_PROBLEMS:
            raise RealtimeError("invalid_value", f"{count} fields are not of the form that is expected.") from None
        problem = error.errors(include_url=False, include_input=False)[0]
        raise _told(problem["type"], problem["msg"], place(prefix, problem["loc"]), problem.get("ctx", {})) from None


def _told(kind: str, problem: str, param: str, context: Any) -> RealtimeError:
    if kind == "missing":
        return RealtimeError(_CODES[kind], f"Missing required parameter: '{param}'.", param)
    if kind == "extra_forbidden":
        return RealtimeError(_CODES[kind], f"Unknown parameter: '{param}'.", param)
    if kind == "union_tag_not_found":
        param = f"{param}.type" if param else "type"
        return RealtimeError(_CODES[kind], f"Missing required parameter: '{param}'.", param)
    if kind == "union_tag_invalid":
        param = f"{param}.type" if param else "type"
        tag, known = context.get("tag", ""), context.get("expected_tags", "")
        message = f"Invalid value: '{str(tag)[:80]}'. Supported values are: {known}."
        return RealtimeError("invalid_value", message, param)
    code = _CODES.get(kind, "invalid_type" if kind.endswith(("_type", "_parsing")) else "invalid_value")
    problem = problem.removeprefix("Value error, ")
    return RealtimeError(code, f"Invalid '{param}': {problem}." if param else f"{problem}.", param or None)


TAGS = frozenset(
    {
        *("realtime", "transcription", "server_vad", "semantic_vad", "CustomVoice", "str", "int"),
        *(
            "function",
            "mcp",
            "message",
            "function_call",
            "mcp_approval_response",
            "ToolFilter",
            "ApprovalFilter",
            "function_call_output",
            "item_reference",
        ),
    }
)
"""Names of branches, which Pydantic puts into places and clients do not know; others are no identifiers."""


def place(prefix: str, location: Sequence[int | str]) -> str:
    """A place in an event as OpenAI writes it: `session.tools[0].name`."""
    found = prefix
    for part in location:
        if isinstance(part, int):
            found += f"[{part}]"
        elif part not in TAGS and part.isidentifier():
            found += f".{part}" if found else part
    return found
