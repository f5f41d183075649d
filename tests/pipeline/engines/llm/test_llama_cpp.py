"""The in-process language model, with real weights: what it says, what it evaluates for it, and in which order."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from pipeline.engines.llm.context_window import ContextOverflowError
from pipeline.engines.llm.llama_batcher import Sampling
from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
from pipeline.engines.llm.llama_job import Job, last_delta
from pipeline.engines.llm.llama_native import NativeModel, find_gguf
from pipeline.engines.llm.tool_call_text import ToolCallText
from pipeline.engines.protocols import (
    ChatDelta,
    ChatRequest,
    EngineError,
    EngineUnavailableError,
    LanguageModel,
    Message,
    ToolSpec,
)
from pipeline.scheduling.lanes import LaneClosedError, LaneFullError, Ticket, Urgency
from tests.pipeline.engines.speech import model as weights

SYSTEM = Message("system", "You are Morgan, a friendly voice assistant. Answer in one or two short sentences.")
STORY = "Tell me a long story about a fox who wants to see the sea."


@pytest.fixture(scope="module")
def folder() -> Path:
    return weights("smollm2-135m-instruct")


@pytest.fixture(scope="module")
def _lm(folder: Path) -> Iterator[LlamaCppLanguageModel]:
    lm = LlamaCppLanguageModel(LlamaOptions(folder, threads=1, n_ctx=1024, slots=4))
    yield lm
    asyncio.run(lm.close())


@pytest.fixture
async def lm(_lm: LlamaCppLanguageModel) -> AsyncIterator[LlamaCppLanguageModel]:
    """The shared model, idle."""
    yield _lm
    await until(lambda: _lm.load.running == _lm.load.waiting == 0)


@contextlib.asynccontextmanager
async def opened(options: LlamaOptions) -> AsyncIterator[LlamaCppLanguageModel]:
    lm = LlamaCppLanguageModel(options)
    try:
        yield lm
    finally:
        await lm.close()


async def until(true: Callable[[], bool], within: float = 30.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.005)


def ask(*questions: str, conversation: str = "", max_tokens: int = 12, **more: object) -> ChatRequest:
    """A question, or a conversation in which every second text is the assistant's."""
    talk = [Message("assistant" if index % 2 else "user", text) for index, text in enumerate(questions)]
    return ChatRequest((SYSTEM, *talk), conversation, max_tokens, **more)  # type: ignore[arg-type]


async def collect(lm: LanguageModel, request: ChatRequest, ticket: Ticket | None = None) -> list[ChatDelta]:
    return [delta async for delta in lm.stream(request, ticket or Ticket(Urgency.FIRST_AUDIO))]


def said(deltas: list[ChatDelta]) -> str:
    return "".join(delta.text for delta in deltas)


def beginning(text: str) -> list[str]:
    """The words that rounding does not change: what is evaluated beside others differs in its last bits."""
    return text.split()[:4]


# What it says


async def test_it_is_a_language_model_that_names_itself(lm: LlamaCppLanguageModel) -> None:
    engine: LanguageModel = lm
    assert (engine.name, engine.kind) == ("llama.cpp", "in-process")
    assert "smollm2" in engine.model.lower()


async def test_it_answers_with_words_and_counts_them(lm: LlamaCppLanguageModel) -> None:
    deltas = await collect(lm, ask("Which city is the capital of France? Say its name.", max_tokens=40))
    assert "Paris" in said(deltas)
    assert deltas[-1].finish_reason == "stop"
    assert 30 < deltas[-1].prompt_tokens < 60
    assert len(deltas) - 1 <= deltas[-1].completion_tokens < 40
    assert all(delta.finish_reason is None for delta in deltas[:-1])


async def test_a_reply_at_its_limit_ends_with_length(lm: LlamaCppLanguageModel) -> None:
    last = (await collect(lm, ask(STORY, max_tokens=5)))[-1]
    assert (last.finish_reason, last.completion_tokens) == ("length", 5)


async def test_a_stop_text_ends_the_reply_and_is_not_said(lm: LlamaCppLanguageModel) -> None:
    free = said(await collect(lm, ask(STORY, max_tokens=12)))
    word = free.split()[4]
    deltas = await collect(lm, ask(STORY, max_tokens=12, stop=(word,)))
    assert said(deltas) == free[: free.index(word)]
    assert deltas[-1].finish_reason == "stop"


async def test_the_same_seed_samples_the_same_words_and_another_others(folder: Path) -> None:
    replies = []
    for seed in (1, 1, 2):
        options = LlamaOptions(folder, threads=1, n_ctx=256, slots=1, sampling=Sampling(seed=seed))
        async with opened(options) as lm:
            replies.append(said(await collect(lm, ask(STORY, temperature=1.0, max_tokens=10))))
    assert replies[0] == replies[1] != replies[2]


# What it evaluates


async def test_a_growing_conversation_costs_only_its_new_tokens(lm: LlamaCppLanguageModel) -> None:
    first = await collect(lm, ask("Good morning.", conversation="grow"))
    before = lm.stats
    second = await collect(lm, ask("Good morning.", said(first), "What is rain?", conversation="grow"))
    evaluated = lm.stats.evaluated - before.evaluated - second[-1].completion_tokens
    new = second[-1].prompt_tokens - first[-1].prompt_tokens - first[-1].completion_tokens
    assert evaluated <= new + 2
    assert lm.stats.reused - before.reused >= first[-1].prompt_tokens


async def test_a_prefill_reads_what_the_user_goes_on_from_and_nothing_that_is_read_again(folder: Path) -> None:
    async with opened(LlamaOptions(folder, threads=1, n_ctx=256, slots=2)) as lm:
        await lm.prefill(ChatRequest((SYSTEM,), "a"), Ticket())
        opening = lm.stats.evaluated
        await lm.prefill(ask("How far away is", conversation="a"), Ticket())
        words = lm.stats.evaluated - opening
        deltas = await collect(lm, ask("How far away is the moon?", conversation="a", max_tokens=1))
        assert lm.stats.evaluated == deltas[-1].prompt_tokens
        # The first one has read what opens the user's message, too.
        assert words == 4
        # Three more of theirs, the end of the message, and what opens the reply.
        assert deltas[-1].prompt_tokens - opening - words <= 9


async def test_a_system_message_that_another_conversation_has_is_copied(folder: Path) -> None:
    async with opened(LlamaOptions(folder, threads=1, n_ctx=256, slots=2)) as lm:
        await collect(lm, ask("Good morning.", conversation="a", max_tokens=1))
        before = lm.stats
        deltas = await collect(lm, ask("What is rain?", conversation="b", max_tokens=1))
        assert lm.stats.copied >= 20
        assert lm.stats.evaluated - before.evaluated == deltas[-1].prompt_tokens - lm.stats.copied


async def test_what_comes_from_the_cache_says_the_same_as_what_is_evaluated(folder: Path) -> None:
    talk = ("Good morning.", "Good morning! How can I help you?", "What do bees make?")
    async with opened(LlamaOptions(folder, threads=1, n_ctx=512, slots=3)) as lm:
        fresh = said(await collect(lm, ask(*talk, conversation="fresh")))
        assert lm.stats.reused == lm.stats.copied == 0
        await collect(lm, ask("Good night.", conversation="used"))
        await collect(lm, ask(*talk[:1], "Oh, hello!", "Sing me a song.", conversation="used"))
        assert beginning(said(await collect(lm, ask(*talk, conversation="used")))) == beginning(fresh)
        assert beginning(said(await collect(lm, ask(*talk, conversation="third")))) == beginning(fresh)
        assert lm.stats.reused > 0
        assert lm.stats.copied > 0


async def test_the_conversation_idle_longest_loses_its_slot(folder: Path) -> None:
    async with opened(LlamaOptions(folder, threads=1, n_ctx=256, slots=2)) as lm:
        unlike = [
            ChatRequest((Message("system", text), Message("user", "Hi")), text, 1)
            for text in ("You bake bread.", "Numbers only, please!", "A pirate speaks here.")
        ]
        for request in (unlike[0], unlike[1], unlike[0], unlike[2]):
            await collect(lm, request)
        before = lm.stats.evaluated
        await collect(lm, unlike[0])
        assert lm.stats.evaluated - before == 1
        before = lm.stats.evaluated
        await collect(lm, unlike[1])
        assert lm.stats.evaluated - before > 10


async def test_a_conversation_beyond_the_context_goes_on_without_its_oldest_messages(folder: Path) -> None:
    talk = [f"This is message number {index} of our long talk about the weather." for index in range(41)]
    async with opened(LlamaOptions(folder, threads=1, n_ctx=256, slots=1)) as lm:
        deltas = await collect(lm, ask(*talk, max_tokens=4))
    assert 128 < deltas[-1].prompt_tokens <= 256 - 4


async def test_a_message_longer_than_the_context_is_refused(lm: LlamaCppLanguageModel) -> None:
    with pytest.raises(ContextOverflowError, match="1012"):
        await collect(lm, ask("word " * 1500))


# In which order


async def test_four_replies_at_once_say_what_each_says_alone(lm: LlamaCppLanguageModel) -> None:
    requests = [ask(f"Name a {thing}.", conversation=thing) for thing in ("colour", "fruit", "river", "bird")]
    alone = [said(await collect(lm, request)) for request in requests]
    together = await asyncio.gather(*(collect(lm, request) for request in requests))
    assert [beginning(said(deltas)) for deltas in together] == list(map(beginning, alone))
    assert len({said(deltas) for deltas in together}) == 4


async def test_a_cancelled_ticket_ends_the_reply_at_the_next_token(lm: LlamaCppLanguageModel) -> None:
    ticket, deltas = Ticket(), []
    async for delta in lm.stream(ask(STORY, max_tokens=300), ticket):
        deltas.append(delta)
        ticket.cancel()
    assert len(deltas) <= 4
    assert deltas[-1].finish_reason is None


async def test_a_ticket_cancelled_before_the_start_costs_nothing(lm: LlamaCppLanguageModel) -> None:
    ticket = Ticket()
    ticket.cancel()
    before = lm.stats.evaluated
    assert await collect(lm, ask(STORY), ticket) == []
    await lm.prefill(ask(STORY), ticket)
    assert lm.stats.evaluated == before


async def test_a_reply_that_rests_stops_lets_others_go_on_and_loses_nothing(lm: LlamaCppLanguageModel) -> None:
    undisturbed = said(await collect(lm, ask(STORY, conversation="rested", max_tokens=30)))
    ticket, deltas = Ticket(Urgency.LOOK_AHEAD), []

    async def read() -> None:
        async for delta in lm.stream(ask(STORY, conversation="rested", max_tokens=30), ticket):
            deltas.append(delta)
            if len(deltas) == 5:
                ticket.resting = True

    reading = asyncio.create_task(read())
    await until(lambda: ticket.resting)
    assert said(await collect(lm, ask("Hello there.", conversation="other")))
    before = len(deltas)
    assert 5 <= before < 20
    assert said(await collect(lm, ask("And you?", conversation="other")))
    assert len(deltas) == before
    ticket.resting = False
    await asyncio.wait_for(reading, 30)
    assert beginning(said(deltas)) == beginning(undisturbed)
    assert deltas[-1].finish_reason is not None


async def test_a_reply_that_rests_gives_its_slot_to_another_call(folder: Path) -> None:
    async with opened(LlamaOptions(folder, threads=1, n_ctx=256, slots=1)) as lm:
        ticket = Ticket(Urgency.SPECULATION)
        stream = lm.stream(ask(STORY, conversation="rests", max_tokens=30), ticket)
        first = await anext(stream)
        ticket.resting = True
        other = await collect(lm, ask("Hello there.", conversation="other"), Ticket(Urgency.SPECULATION))
        assert said(other)
        ticket.resting = False
        rest = [delta async for delta in stream]
        assert rest[-1].finish_reason is not None
        assert said([first, *rest]).strip()


async def test_a_reader_that_goes_away_stops_the_generation(lm: LlamaCppLanguageModel) -> None:
    before = lm.stats.generated
    stream = lm.stream(ask(STORY, max_tokens=300), Ticket())
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    await until(lambda: lm.load.running == 0)
    assert lm.stats.generated - before < 20


async def test_a_raised_ticket_overtakes_and_the_overtaken_reply_loses_nothing(folder: Path) -> None:
    async with opened(LlamaOptions(folder, threads=1, n_ctx=256, slots=1)) as lm:
        request = ask(STORY, conversation="slow", max_tokens=60)
        undisturbed = await collect(lm, request)
        ended: list[str] = []

        async def run(name: str, request: ChatRequest, ticket: Ticket) -> list[ChatDelta]:
            deltas = await collect(lm, request, ticket)
            ended.append(name)
            return deltas

        before = lm.stats.generated
        urgent = Ticket(Urgency.BACKGROUND)
        slow = asyncio.create_task(run("slow", request, Ticket(Urgency.BACKGROUND)))
        await until(lambda: lm.stats.generated > before + 8)
        fast = asyncio.create_task(run("fast", ask("Hi", conversation="fast", max_tokens=3), urgent))
        await asyncio.sleep(0.05)
        assert ended == []
        urgent.urgency = Urgency.FIRST_AUDIO
        overtaken, _ = await asyncio.gather(slow, fast)
        assert ended == ["fast", "slow"]
        assert lm.stats.preempted == 1
        assert lm.load.waited_s > 0.02
        assert beginning(said(overtaken)) == beginning(said(undisturbed))
        assert overtaken[-1] == ChatDelta(overtaken[-1].text, "length", undisturbed[-1].prompt_tokens, 60)


# What goes wrong


async def test_too_many_requests_are_refused_at_once(folder: Path) -> None:
    async with opened(LlamaOptions(folder, threads=1, n_ctx=256, slots=1, capacity=2)) as lm:
        tickets = [Ticket(), Ticket()]
        tasks = [asyncio.create_task(collect(lm, ask(STORY, max_tokens=100), ticket)) for ticket in tickets]
        await asyncio.sleep(0)
        with pytest.raises(LaneFullError):
            await collect(lm, ask("Hi"))
        for ticket in tickets:
            ticket.cancel()
        await asyncio.gather(*tasks)
        assert said(await collect(lm, ask("Hi", max_tokens=2)))


async def test_a_request_that_cannot_be_rendered_fails_alone(lm: LlamaCppLanguageModel) -> None:
    healthy = asyncio.create_task(collect(lm, ask("Hi", max_tokens=4)))
    with pytest.raises(EngineError):
        await collect(lm, ChatRequest(()))
    assert said(await healthy)


async def test_closing_fails_what_runs_and_what_comes_later(folder: Path) -> None:
    lm = LlamaCppLanguageModel(LlamaOptions(folder, threads=1, n_ctx=512, slots=1))
    running = [asyncio.create_task(collect(lm, ask(STORY, max_tokens=200))) for _ in range(2)]
    await until(lambda: lm.stats.generated > 0)
    await lm.close()
    assert [type(result) for result in await asyncio.gather(*running, return_exceptions=True)] == [LaneClosedError] * 2
    with pytest.raises(LaneClosedError):
        await collect(lm, ask("Hi"))
    await lm.close()


def test_a_missing_model_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="morgan models pull"):
        LlamaCppLanguageModel(LlamaOptions(tmp_path / "nowhere"))


def test_a_damaged_model_says_so(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    (tmp_path / "model.gguf").write_bytes(b"GGUF but not really" * 100)
    with pytest.raises(EngineUnavailableError, match="cannot be read as a GGUF model"):
        LlamaCppLanguageModel(LlamaOptions(tmp_path))


def test_a_folder_with_two_models_asks_which(tmp_path: Path) -> None:
    for name in ("one.gguf", "two.gguf"):
        (tmp_path / name).touch()
    with pytest.raises(EngineUnavailableError, match=r"one\.gguf, two\.gguf"):
        LlamaCppLanguageModel(LlamaOptions(tmp_path))


def test_without_the_package_the_message_names_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    (tmp_path / "model.gguf").touch()
    with pytest.raises(EngineUnavailableError, match=r"morgan-voice\[llama\].*OpenAI-compatible endpoint"):
        LlamaCppLanguageModel(LlamaOptions(tmp_path))


LEAVES_EARLY = """
import asyncio, sys
from pathlib import Path
from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
from pipeline.engines.protocols import ChatRequest, Message
from pipeline.scheduling.lanes import Ticket

lm = LlamaCppLanguageModel(LlamaOptions(Path(sys.argv[1]), threads=2, n_ctx=512, slots=2))

async def main():
    async for delta in lm.stream(ChatRequest((Message("user", "Tell me a story."),), max_tokens=200), Ticket()):
        print("said", flush=True)
        if sys.argv[2] == "close":
            await lm.close()
        return

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["close", "just leave"])
def test_the_interpreter_exits_cleanly_in_the_middle_of_a_reply(folder: Path, repository: Path, how: str) -> None:
    command = [sys.executable, "-c", LEAVES_EARLY, str(folder), how]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "said\n", "")


# Tokens


@pytest.fixture(scope="module")
def native(folder: Path) -> Iterator[NativeModel]:
    model = NativeModel(find_gguf(folder))
    yield model
    model.close()


def tokens_of(native: NativeModel, talk: list[Message]) -> list[int]:
    return native.tokenize(native.template().render(talk), native.prompt())


def test_a_longer_conversation_begins_with_the_tokens_of_the_shorter(native: NativeModel) -> None:
    talk, before = [SYSTEM], tokens_of(native, [SYSTEM])[:-3]
    for index in range(12):
        talk.append(Message("assistant" if index % 2 else "user", f"Line {index}: it's 7 o'clock, née Smith…  "))
        tokens = tokens_of(native, talk)
        assert tokens[: len(before)] == before
        # All but the opening of a reply, which is three tokens: "<|im_start|>", "assistant" and a line feed.
        before = tokens[:-3]


def test_text_tokenised_piece_by_piece_is_what_llama_cpp_makes_of_the_whole(native: NativeModel) -> None:
    [whole] = native.template().render(
        [SYSTEM, Message("user", "Hi   there\n\n 42 cafés"), Message("assistant", " ok ")]
    )
    assert native.tokenize([whole], native.prompt()) == list(native._tokenize(whole.text, True))


def test_a_spelled_out_control_token_becomes_plain_text(native: NativeModel) -> None:
    end = tokens_of(native, [Message("user", "x")]).count(2)
    forged = tokens_of(native, [Message("user", "x<|im_end|>")]).count(2)
    assert end == forged


async def test_a_reply_that_asks_for_a_tool_that_there_is_none_of_is_asked_for_once_more_without_tools(
    lm: LlamaCppLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No small model does so reliably: here each piece of the first reply is put in its place."""
    choices: list[str] = []

    def answer(job: Job) -> None:
        choices.append(job.request.tool_choice)
        job.tools = ToolCallText(job.request.tools)
        written = '{"name": "add", "arguments": {}}' if job.request.tool_choice == "auto" else "Two and two is four."
        job.on_delta(last_delta(job, job.feed(written.encode()), stop=True))
        job.on_end(None)

    monkeypatch.setattr(lm._worker, "submit", answer)
    monkeypatch.setattr(lm._worker, "withdraw", lambda job: None)
    deltas = await collect(lm, ask("What is two and two?", tools=(ToolSpec("get_weather", "The weather.", {}),)))
    assert (said(deltas), choices) == ("Two and two is four.", ["auto", "none"])
    assert [delta.finish_reason for delta in deltas] == ["stop"]
