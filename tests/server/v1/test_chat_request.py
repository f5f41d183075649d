"""Conversations as stock clients spell them, odd as some are, become what engines know."""

from typing import Any, cast

import pytest
from pydantic import ValidationError

from pipeline.engines.protocols import AnswerForm, ChatRequest, LanguageModel, Message, ToolCall, ToolSpec
from server.http.errors import ApiError
from server.v1.chat import refuse_forms
from server.v1.chat_request import ChatCompletionRequest

USER = {"role": "user", "content": "Hi"}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def asked(**fields: Any) -> ChatRequest:
    return ChatCompletionRequest.model_validate({"messages": [USER], **fields}).chat_request(0.0)


def test_a_system_message_alone_is_answered() -> None:
    told = asked(messages=[{"role": "system", "content": "Write a title."}])
    assert told.messages == (Message("system", "Write a title."),)


def test_null_says_nothing_wherever_an_sdk_sends_it() -> None:
    fields = ("model", "stream", "stream_options", "max_tokens", "temperature", "stop", "seed", "n", "tools", "user")
    more = (
        "web_search_options",
        "tool_choice",
        "response_format",
        "modalities",
        "functions",
        "top_p",
        "prompt_cache_key",
    )
    assert asked(**dict.fromkeys((*fields, *more))) == asked()


def test_a_tool_may_say_nothing_of_itself_or_of_its_arguments() -> None:
    function = {"name": "now", "description": None, "parameters": None, "strict": None}
    (tool,) = asked(tools=[{"type": "function", "function": function}]).tools
    assert tool == ToolSpec("now", "", {"type": "object", "properties": {}})


@pytest.mark.parametrize(
    ("told", "several"), [({}, True), ({"parallel_tool_calls": None}, True), ({"parallel_tool_calls": False}, False)]
)
def test_one_tool_at_a_time_is_asked_of_the_model(told: dict[str, Any], several: bool) -> None:
    assert asked(**told).parallel_tool_calls is several


def test_an_answer_that_declined_can_be_told_again() -> None:
    part = {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot."}]}
    field = {"role": "assistant", "content": None, "refusal": "I cannot."}
    assert asked(messages=[USER, part]).messages[1] == Message("assistant", "I cannot.")
    assert asked(messages=[USER, field]).messages[1] == Message("assistant", "I cannot.")


def test_functions_are_understood_as_the_tools_that_they_became() -> None:
    call = {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": "{}"}}
    result = {"role": "function", "name": "now", "content": "noon"}
    told = asked(messages=[USER, call, result]).messages
    assert told[1].tool_calls == (ToolCall("now", "now", "{}"),)
    assert told[2] == Message("tool", "noon", "now")


@pytest.mark.parametrize(
    ("response_format", "form"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, AnswerForm()),
        (
            {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}},
            AnswerForm(SCHEMA, "person", "", True),
        ),
        ({"type": "json_schema", "json_schema": {"name": "anything"}}, AnswerForm(None, "anything")),
    ],
)
def test_the_form_of_an_answer_reaches_the_engine(response_format: dict[str, Any], form: AnswerForm | None) -> None:
    assert asked(response_format=response_format).form == form


def test_of_a_model_that_cannot_be_held_to_a_form_none_is_asked() -> None:
    class Free:
        model = "free"

    llm = cast(LanguageModel, Free())
    refuse_forms(llm, asked(response_format={"type": "text"}))
    with pytest.raises(ApiError, match="free cannot be held to a form") as refused:
        refuse_forms(llm, asked(response_format={"type": "json_object"}))
    assert (refused.value.status, refused.value.details[0]["field"]) == (400, "response_format")


@pytest.mark.parametrize(
    "wrong",
    [
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "grammar"}},
        {"functions": [{"name": "now"}]},
        {"logprobs": True},
        {"web_search_options": {}},
        {"modalities": ["text", "audio"]},
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x"}}]}]},
        {"messages": []},
    ],
)
def test_what_would_be_ignored_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        asked(**wrong)
