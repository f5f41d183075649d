"""What bodies cost beyond their bytes."""

import json

import pytest

from server.bounds import MAX_PROBLEMS, MAX_SCHEMA_PARTS
from server.http.errors import ApiError, parse_json
from server.services.llm import Prompt
from server.v1.chat_request import ChatCompletionRequest


def test_a_body_with_many_problems_is_answered_with_their_number() -> None:
    """A megabyte of unknown fields took 0.8 s of the event loop, and was answered with seven."""
    body = json.dumps({f"{number:x}": 0 for number in range(100_000)}).encode()
    with pytest.raises(ApiError) as refused:
        parse_json(body, Prompt)
    assert refused.value.status == 422
    assert len(json.dumps(refused.value.body())) < 500


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
