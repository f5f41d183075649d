"""What bodies cost beyond their bytes."""

import json

import pytest
from pydantic import TypeAdapter

from server.bounds import MAX_JSON_LISTS, MAX_JSON_PARTS, MAX_PROBLEMS, MAX_SCHEMA_PARTS
from server.http.errors import ApiError, parse_json, parse_socket_message
from server.realtime.client_events import parse_event
from server.services.llm import Prompt
from server.v1.chat_request import ChatCompletionRequest


def test_a_body_with_many_problems_is_answered_with_their_number() -> None:
    """A megabyte of unknown fields took 0.8 s of the event loop, and was answered with seven."""
    body = json.dumps({f"{number:x}": 0 for number in range(MAX_JSON_PARTS // 2)}).encode()
    with pytest.raises(ApiError) as refused:
        parse_json(body, Prompt)
    assert refused.value.status == 422
    assert len(json.dumps(refused.value.body())) < 500


LISTS = b"[" + b"[]," * MAX_JSON_LISTS + b"[]]"


@pytest.mark.parametrize(
    "body",
    [
        LISTS,
        b'{"messages": ' + b"[" + b"1," * MAX_JSON_PARTS + b"1]}",
        b"[" + b'"",' * MAX_JSON_PARTS + b'""]',
        b"[" + b'"\\\\",' * MAX_JSON_PARTS + b'""]',
        b"{" + b",".join(b'"%d":{}' % number for number in range(MAX_JSON_PARTS)) + b"}",
        b'"' * (5 * MAX_JSON_PARTS),
        b'\\"' * (5 * MAX_JSON_PARTS),
        b"," * (2 * MAX_JSON_PARTS),
    ],
)
def test_json_of_more_values_than_any_form_needs_is_not_read(body: bytes) -> None:
    """Two megabytes of them took 0.3 s of the event loop, whatever then became of them."""
    with pytest.raises(ApiError) as refused:
        parse_json(body, Prompt)
    assert (refused.value.status, refused.value.code) == (422, "too_many_values")
    with pytest.raises(ApiError, match="at most 50000 values"):
        parse_socket_message(body.decode(), TypeAdapter(Prompt))
    _, _, problem = parse_event(body.decode())
    assert problem is not None
    assert problem.code == "too_many_values"


@pytest.mark.parametrize(
    "words",
    ["one, two, three " * 20_000, '{"a": [1, 2, 3]}, ' * 10_000, '\\ , " , ' * 30_000, "é, \u00e9, " * 30_000],
)
def test_what_stands_in_words_is_no_value(words: str) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": words[:200_000]}] * 4}).encode()
    assert len(parse_json(body, Prompt).messages or ()) == 4


def test_wrong_fields_of_a_realtime_event_are_told_by_their_number() -> None:
    fields = {f"field_{number}": 0 for number in range(10_000)}
    _, _, problem = parse_event(json.dumps({"type": "response.create", "response": fields}))
    assert problem is not None
    assert "10000 fields" in problem.message


def test_a_few_problems_are_told_one_by_one() -> None:
    body = json.dumps({f"field_{number}": 0 for number in range(MAX_PROBLEMS - 1)}).encode()
    with pytest.raises(ApiError) as refused:
        parse_json(body, Prompt)
    # That there is neither a prompt nor messages cannot be told of a form that has other faults.
    assert len(refused.value.details) == MAX_PROBLEMS - 1


@pytest.mark.parametrize("part", [{}, [], 0])
def test_a_tool_whose_schema_is_larger_than_any_tool_needs_is_refused(part: object) -> None:
    tool = {"type": "function", "function": {"name": "x", "parameters": {"enum": [part] * (MAX_SCHEMA_PARTS + 1)}}}
    body = {"messages": [{"role": "user", "content": "Hello"}], "tools": [tool]}
    with pytest.raises(ApiError, match="at most 2000 parts"):
        parse_json(json.dumps(body).encode(), ChatCompletionRequest)
    tool["function"]["parameters"] = {"enum": [part] * 100}  # type: ignore[index]
    assert parse_json(json.dumps(body).encode(), ChatCompletionRequest).tools
