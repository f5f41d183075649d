"""JSON in a given form, with real weights that would never write it by themselves."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest

from pipeline.engines.llm.answer_grammar import MAX_SCHEMA_BYTES, told_of_form
from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
from pipeline.engines.protocols import AnswerForm, ChatDelta, ChatRequest, Message, RequestRefusedError, ToolSpec
from pipeline.scheduling.lanes import LaneClosedError, Ticket
from tests.pipeline.engines.speech import model as weights

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = {"type": "string", "maxLength": 12}
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": WORDS,
        "age": {"type": "integer"},
        "likes": {"type": "array", "items": {"$ref": "#/$defs/thing"}, "maxItems": 2},
    },
    "required": ["name", "age", "likes"],
    "additionalProperties": False,
    "$defs": {"thing": {"type": "object", "properties": {"what": WORDS}, "required": ["what"]}},
}
ASKED = (Message("user", "Ada is 36. She likes numbers and engines. Who is she?"),)


@pytest.fixture(scope="module")
async def lm() -> AsyncIterator[LlamaCppLanguageModel]:
    lm = LlamaCppLanguageModel(LlamaOptions(weights("smollm2-135m-instruct"), threads=1, n_ctx=1024, slots=4))
    # The thread for grammars begins with the first of them.
    await answer(lm, AnswerForm({"const": 1}))
    yield lm
    await lm.close()


async def answer(lm: LlamaCppLanguageModel, form: AnswerForm | None, **more: Any) -> tuple[str, ChatDelta]:
    request = ChatRequest(ASKED, **{"max_tokens": 200, "form": form, **more})
    deltas = [delta async for delta in lm.stream(request, Ticket())]
    return "".join(delta.text for delta in deltas), deltas[-1]


@pytest.mark.parametrize("temperature", [0.0, 1.5])
async def test_an_answer_fits_its_schema(lm: LlamaCppLanguageModel, temperature: float) -> None:
    text, last = await answer(lm, AnswerForm(PERSON), temperature=temperature, seed=1)
    jsonschema.validate(json.loads(text), PERSON)
    assert last.finish_reason == "stop"


async def test_without_a_schema_it_is_an_object_or_cut_off_within_one(lm: LlamaCppLanguageModel) -> None:
    text, last = await answer(lm, AnswerForm())
    assert text.startswith("{")
    assert last.finish_reason == "length" or isinstance(json.loads(text), dict)


async def test_an_answer_that_is_whole_ends_there(lm: LlamaCppLanguageModel) -> None:
    text, last = await answer(lm, AnswerForm({"enum": ["yes", "no"]}), max_tokens=64)
    assert json.loads(text) in ("yes", "no")
    assert last.finish_reason == "stop"
    assert last.completion_tokens < 8


async def test_what_sdks_write_into_schemas_is_understood(lm: LlamaCppLanguageModel) -> None:
    """Of Pydantic and of Zod, through openai-python, LangChain and the AI SDK."""
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Visit",
        "description": "When, and how.",
        "type": "object",
        "properties": {
            "kind": {"anyOf": [{"const": "short"}, {"type": "null"}], "default": None, "title": "Kind"},
            "on": {"type": "string", "format": "date", "examples": ["2026-01-01"]},
            "pair": {"type": "array", "prefixItems": [{"type": "boolean"}, {"enum": [1, 2]}], "items": False},
            "rank": {"type": "integer", "minimum": 1, "maximum": 9},
        },
        "required": ["kind", "on", "rank"],
        "additionalProperties": False,
    }
    text, _ = await answer(lm, AnswerForm(schema, strict=True))
    jsonschema.validate(json.loads(text), schema)


async def test_answers_in_a_form_and_others_run_side_by_side(lm: LlamaCppLanguageModel) -> None:
    plain = (await answer(lm, None, max_tokens=24))[0]
    (beside, _), (formed, _) = await asyncio.gather(
        answer(lm, None, max_tokens=24), answer(lm, AnswerForm({"enum": ["yes", "no"]}))
    )
    assert beside == plain
    assert json.loads(formed) in ("yes", "no")


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "nonsense"}, "nonsense"),
        ({"$ref": "#/missing"}, "missing"),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, "cannot be used"),
        ({"$ref": "file:///etc/passwd"}, "cannot be used"),
        ({"not": {"type": "string"}}, "not"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-ahead"),
        ({"enum": ["x" * MAX_SCHEMA_BYTES]}, "at most"),
    ],
)
async def test_a_schema_that_cannot_be_kept_to_is_refused(
    lm: LlamaCppLanguageModel, schema: dict[str, Any], problem: str
) -> None:
    with pytest.raises(RequestRefusedError, match=problem):
        await answer(lm, AnswerForm(schema))


async def test_a_form_beside_tools_is_refused_unless_they_are_switched_off(lm: LlamaCppLanguageModel) -> None:
    form, tools = AnswerForm({"enum": ["yes", "no"]}), (ToolSpec("now", "", {"type": "object"}),)
    with pytest.raises(RequestRefusedError, match="calls tools"):
        await answer(lm, form, tools=tools)
    assert json.loads((await answer(lm, form, tools=tools, tool_choice="none"))[0]) in ("yes", "no")


async def test_a_closed_model_says_so() -> None:
    lm = LlamaCppLanguageModel(LlamaOptions(weights("smollm2-135m-instruct"), threads=1, n_ctx=256, slots=1))
    await lm.close()
    with pytest.raises(LaneClosedError):
        await answer(lm, AnswerForm())


async def test_the_model_is_told_of_the_form_behind_its_instructions() -> None:
    told = told_of_form(
        ChatRequest((Message("system", "Be kind."), *ASKED), form=AnswerForm({"type": "null"}, "n", "!"))
    )
    assert told.messages[0].content.startswith("Be kind.\n\n")
    assert '{"type": "null"}' in told.messages[0].content
    assert told.messages[1:] == ASKED
    assert told_of_form(ChatRequest(ASKED, form=AnswerForm())).messages[1:] == ASKED
    assert told_of_form(ChatRequest(ASKED)).messages == ASKED
