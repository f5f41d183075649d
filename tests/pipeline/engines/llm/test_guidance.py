"""Small models in process are helped in calls, and nowhere else."""

from dataclasses import replace

import pytest

from pipeline.call.context import INSTRUCTIONS, Context, Entry, shared_beginning
from pipeline.call.options import CallOptions
from pipeline.call.wish import ReplyWish
from pipeline.engines.guidance import Guidance
from pipeline.engines.llm.guidance import ANSWER_NOW, EXAMPLES, TAUGHT_PARAMETERS, SaidBack, guided
from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
from pipeline.engines.protocols import ChatRequest, Message, ToolCall, ToolSpec
from pipeline.engines.remote.llm import _question
from pipeline.scheduling.lanes import Ticket, Urgency
from server.v1.chat_request import ChatCompletionRequest
from tests.pipeline.engines.speech import model as weights

SYSTEM = Message("system", INSTRUCTIONS)
SUM = Message("user", "What is two plus two?")
WEATHER = ToolSpec("get_weather", "The weather in a city.", {"type": "object", "properties": {}})
ALL = Guidance.FACTS | Guidance.MANNER


def test_a_sum_stands_behind_the_words_that_ask_it() -> None:
    request = guided(ChatRequest((SYSTEM, SUM), guidance=Guidance.FACTS), TAUGHT_PARAMETERS)
    assert request.messages == (SYSTEM, Message("user", "What is two plus two?\n(2 + 2 = 4.)"))


def test_examples_stand_behind_the_instructions_where_the_model_is_not_too_small_and_there_are_no_tools() -> None:
    hello = Message("user", "Hello.")
    request = ChatRequest((SYSTEM, hello), guidance=Guidance.MANNER)
    assert guided(request, TAUGHT_PARAMETERS).messages == (SYSTEM, *EXAMPLES, hello)
    assert guided(request, TAUGHT_PARAMETERS - 1).messages == (SYSTEM, hello)
    assert guided(replace(request, tools=(WEATHER,)), TAUGHT_PARAMETERS).messages == (SYSTEM, hello)
    assert guided(replace(request, messages=(hello,)), TAUGHT_PARAMETERS).messages == (*EXAMPLES, hello)


def test_behind_the_last_answer_of_tools_in_a_row_the_user_is_to_be_answered() -> None:
    calls = Message(
        "assistant", "", tool_calls=(ToolCall("1", "get_weather", "{}"), ToolCall("2", "get_weather", "{}"))
    )
    results = (Message("tool", "sunny", "1"), Message("tool", "rainy", "2"))
    request = ChatRequest((SUM, calls, *results), tools=(WEATHER,), guidance=Guidance.FACTS)
    messages = guided(request, TAUGHT_PARAMETERS).messages
    assert [each.content for each in messages[2:]] == ["sunny", f"rainy\n\n{ANSWER_NOW}"]


def test_what_was_shown_once_is_shown_again_so_that_prompts_only_grow() -> None:
    first = guided(ChatRequest((SYSTEM, SUM), guidance=ALL), TAUGHT_PARAMETERS).messages
    later = ChatRequest((SYSTEM, SUM, Message("assistant", "Four."), Message("user", "And?")), guidance=ALL)
    assert guided(later, TAUGHT_PARAMETERS).messages[: len(first)] == first


def test_without_leave_nothing_is_added() -> None:
    request = ChatRequest((SYSTEM, SUM, Message("tool", "4", "1")))
    assert guided(request, TAUGHT_PARAMETERS) == request


def test_calls_in_english_give_leave_and_texts_other_languages_and_wishes_of_clients_do_not() -> None:
    def allowed(context: Context, wish: ReplyWish | None = None) -> Guidance:
        context.add(Entry("1", "user", "Hello."))
        return (wish or ReplyWish()).request(context, CallOptions()).guidance

    german = Context(INSTRUCTIONS, "c")
    german.answer_in("de")
    assert allowed(Context(INSTRUCTIONS, "c")) == ALL
    assert allowed(Context("You are a pirate.", "c")) == Guidance.FACTS
    assert allowed(german) == Guidance.NONE
    assert allowed(Context(INSTRUCTIONS, "c", rules="Write.")) == Guidance.NONE
    for wish in (ReplyWish(instructions="Rhyme."), ReplyWish(messages=(SUM,)), ReplyWish(speaks=False)):
        assert allowed(Context(INSTRUCTIONS, "c"), wish) == Guidance.NONE
    assert shared_beginning(INSTRUCTIONS).guidance == ALL
    assert shared_beginning("You are a pirate.").guidance == Guidance.FACTS


@pytest.mark.parametrize("guidance", [Guidance.NONE, Guidance.FACTS, ALL])
def test_leave_reaches_a_service_in_another_process(guidance: Guidance) -> None:
    question = _question("/v1/chat/completions", ChatRequest((SUM,), guidance=guidance))
    assert ChatCompletionRequest.model_validate_json(question.body).chat_request(0.0).guidance == guidance


@pytest.mark.parametrize(
    ("asked", "said", "more", "back"),
    [
        ("Good night, I am going to bed.", "Good night, I", " am", True),
        ("Good night, I am going to bed.", "Good night, I", " hope", False),
        ("Good night, I am going to bed.", "Good", " night", False),
        ("Good night, I am going to bed.", "Sleep well, I", " am", False),
        ("My name is Tom.", "My name is", " Morgan", False),
        ("I love you.", "I love you", " too", False),
        ("I love you.", "I love you", ".", False),
    ],
)
def test_the_users_words_are_not_said_back(asked: str, said: str, more: str, back: bool) -> None:
    found = SaidBack(asked)
    found.feed(said)
    assert found.would(more) == back


async def test_a_small_model_is_helped_in_calls_unless_that_is_switched_off() -> None:
    async def prompt_tokens(guidance: Guidance, *, helps: bool) -> int:
        model = LlamaCppLanguageModel(LlamaOptions(weights("smollm2-135m-instruct"), threads=1, guidance=helps))
        try:
            request = ChatRequest((SYSTEM, SUM), "c", max_tokens=1, guidance=guidance)
            deltas = [delta async for delta in model.stream(request, Ticket(Urgency.FIRST_AUDIO))]
        finally:
            await model.close()
        return deltas[-1].prompt_tokens or 0

    alone, switched_off = await prompt_tokens(Guidance.NONE, helps=True), await prompt_tokens(ALL, helps=False)
    assert await prompt_tokens(ALL, helps=True) > alone == switched_off
