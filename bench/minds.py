"""How wise and how quick language models are in calls: sixty questions as people ask them aloud, judged by rules.

    morgan bench minds                                    # the model of the settings
    morgan bench minds --models smollm2-135m-instruct,qwen2.5-coder-0.5b-instruct --json
    MORGAN_LLM_BASE_URL=http://localhost:11434/v1 morgan bench minds --models llama3.2:3b
    morgan bench minds --held-out                         # sixty other questions, which nobody tunes on

The prompt is that of a call: its instructions, the conversation so far read beforehand, the question at its end; and a
reply ends where it would in a call. `bench/minds.toml` has the questions and what is expected of the replies. "first"
is the first text behind the last word, "speakable" the share of replies that can be read aloud as they are (no markup,
list, link or emoji), "words" the length of a reply. How many were right of all is kept for `morgan models list`.

Prompts are tuned on `bench/minds.toml`, so a gain there may be of those questions alone. `bench/minds_held_out.toml`
has as many of each kind that no prompt was tuned on; scores of the two are not of one scale, and none is kept of it.
"""

import argparse
import asyncio
import dataclasses
import json
import re
import statistics
import sys
import time
import tomllib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.call.circumstances import Circumstances
from pipeline.call.context import Context, Entry
from pipeline.engines.protocols import ChatDelta, EngineError, LanguageModel, ToolCall, ToolSpec
from pipeline.models import ModelError
from pipeline.scheduling.lanes import Ticket, Urgency
from pipeline.text.normalise import normalise
from pipeline.text.reply_length import ReplyLength
from server.engines.factory import build_llm
from server.engines.score_book import QUESTIONS as QUESTIONS_ASKED
from server.engines.score_book import keep_score
from server.minds.choice import resolved
from server.settings import Settings, SettingsError, load_settings

QUESTIONS = Path(__file__).with_name("minds.toml")
HELD_OUT = Path(__file__).with_name("minds_held_out.toml")
NOW = datetime(2026, 11, 26, 14, 40, tzinfo=UTC).timestamp()

_UNSPEAKABLE = re.compile(
    r"[*#`|_<>{}\\]|https?://|^\s*(?:[-•]|\d+[.)])\s|\u200d|[\u2600-\u27bf\U0001f000-\U0001faff]", re.MULTILINE
)


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


TOOLS = (
    ToolSpec("get_weather", "The weather in a city right now.", _object(city={"type": "string"})),
    ToolSpec("set_timer", "Start a timer that rings after so many minutes.", _object(minutes={"type": "number"})),
    ToolSpec(
        "switch_light", "Turn the light of a room on or off.", _object(room={"type": "string"}, on={"type": "boolean"})
    ),
)
RESULTS = {
    "get_weather": '{"sky": "sunny", "temperature_celsius": 21}',
    "set_timer": '{"started": true}',
    "switch_light": '{"done": true}',
}


@dataclass(frozen=True, slots=True)
class Question:
    """A question and what its reply must be like; see `minds.toml`."""

    kind: str
    say: tuple[str, ...]
    any: tuple[str, ...] = ()
    all: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    most_words: int | None = None
    least_words: int = 1
    times: int = 1
    tool: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Reply:
    """What came of one question.

    Attributes:
        text: of the reply.
        calls: what was asked of tools before it.
        first_s: until its first text; None where there was none.
        seconds: until its end.
        tokens: of it, as far as the engine counts them.
    """

    text: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    first_s: float | None = None
    seconds: float = 0.0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """One model.

    Attributes:
        model: its name.
        right: of each kind, and how many there are.
        first_ms, first_p95_ms: until the first text.
        tokens_s: tokens a second behind the first, median of the replies.
        words: of a reply, median; most_words the longest.
        speakable: share of replies that can be read aloud as they are.
        calls_tools: whether tools reach the model.
        replies: question, reply and verdict.
    """

    model: str
    right: dict[str, tuple[int, int]]
    first_ms: float
    first_p95_ms: float
    tokens_s: float
    words: float
    most_words: int
    speakable: float
    calls_tools: bool
    replies: tuple[dict[str, Any], ...]

    @property
    def score(self) -> int:
        """Right ones of all kinds."""
        return sum(right for right, _ in self.right.values())


def load_questions(path: Path = QUESTIONS) -> tuple[Question, ...]:
    """The questions of a file."""
    listed: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["question"]

    def question(values: dict[str, Any]) -> Question:
        told: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return Question(**told)

    return tuple(question(each) for each in listed)


def wrong(question: Question, reply: Reply) -> str:
    """Why a reply will not do; empty where it is right."""
    text, words = reply.text, len(reply.text.split())

    def has(pattern: str) -> list[str]:
        return re.findall(pattern, text, re.IGNORECASE)

    if not text and question.tool in ("", "none"):
        return "nothing was said"
    if words > 1 and normalise(text) == normalise(question.say[-1]):
        return "said the question back"
    if question.tool and (problem := _wrong_tool(question, reply.calls)):
        return problem
    if question.any and not any(len(has(pattern)) >= question.times for pattern in question.any):
        return "not what was asked for"
    if missing := [pattern for pattern in question.all if not has(pattern)]:
        return f"without {', '.join(missing)}"
    if banned := [pattern for pattern in question.none if has(pattern)]:
        return f"with {', '.join(banned)}"
    if question.most_words is not None and words > question.most_words:
        return f"{words} words, {question.most_words} at most"
    if text and words < question.least_words:
        return f"{words} words, {question.least_words} at least"
    return ""


def _wrong_tool(question: Question, calls: Sequence[ToolCall]) -> str:
    if question.tool == "none":
        return f"asked for {calls[0].name} for nothing" if calls else ""
    fitting = [call for call in calls if call.name == question.tool]
    if not fitting:
        return f"did not ask for {question.tool}"
    try:
        given = json.loads(fitting[0].arguments)
        told = {name: json.dumps(given.get(name)).strip('"') for name in question.arguments}
    except (ValueError, AttributeError):
        return "asked with arguments that are no object"
    differ = [name for name, want in question.arguments.items() if not re.search(want, told[name], re.IGNORECASE)]
    return f"asked with {', '.join(f'{name}={told[name]}' for name in differ)}" if differ else ""


async def ask(llm: LanguageModel, settings: Settings, question: Question, conversation: str) -> Reply:
    """Talk as in a call; returns the last reply."""
    context = Context(settings.instructions, conversation, circumstances=Circumstances(began=NOW))
    context.answer_in("en")
    tools = TOOLS if question.tool else ()
    reply = Reply()
    for number, said in enumerate(question.say):
        request = context.request(None, settings.llm_max_tokens, settings.llm_temperature, tools)
        await llm.prefill(request, Ticket(Urgency.LOOK_AHEAD))
        context.messages(said)
        context.add(Entry(f"user-{number}", "user", said))
        reply = await _reply(llm, settings, context, said, tools)
        context.add(Entry(f"reply-{number}", "assistant", reply.text))
    return reply


async def _reply(
    llm: LanguageModel, settings: Settings, context: Context, said: str, tools: tuple[ToolSpec, ...]
) -> Reply:
    reply, length, began = Reply(), ReplyLength(said, settings.instructions), time.perf_counter()
    for tools_left in reversed(range(settings.tool_rounds + 1)):
        choice = "auto" if tools_left else "none"
        request = context.request(None, settings.llm_max_tokens, settings.llm_temperature, tools, choice)
        calls: tuple[ToolCall, ...] = ()
        async with aclosing(_counted(llm.stream(request, Ticket(Urgency.FIRST_AUDIO)), reply)) as deltas:
            async for delta in deltas:
                text = length.feed(delta.text)
                if text.strip() and reply.first_s is None:
                    reply.first_s = time.perf_counter() - began
                reply.text += text
                calls = delta.tool_calls
                if length.ended:
                    break
        if not calls:
            break
        reply.calls += calls
        context.add(Entry(f"call-{id(calls)}", "assistant", "", tool_calls=calls))
        for call in calls:
            result = RESULTS.get(call.name, "Error: there is no such tool")
            context.add(Entry(f"result-{call.id}", "tool", result, tool_call_id=call.id))
    reply.text, reply.seconds = reply.text.strip(), time.perf_counter() - began
    return reply


async def _counted(deltas: AsyncIterator[ChatDelta], reply: Reply) -> AsyncGenerator[ChatDelta, None]:
    """Count tokens as they come: a reply that is ended early is never told its count."""
    async for delta in deltas:
        reply.tokens += bool(delta.text)
        yield delta


async def measure(settings: Settings, questions: Sequence[Question]) -> Figures:
    """All questions to the model of the settings."""
    llm = await asyncio.to_thread(build_llm, settings)
    console = Console(stderr=True)
    try:
        await llm.warm_up()
        replies = []
        for number, question in enumerate(questions):
            reply = await ask(llm, settings, question, f"question-{number}")
            replies.append(reply)
            verdict = wrong(question, reply) or "right"
            console.print(f"{question.kind}: {question.say[-1]} - {reply.text!r}: {verdict}", markup=False)
        return _figures(llm, questions, replies)
    finally:
        await llm.close()


def _figures(llm: LanguageModel, questions: Sequence[Question], replies: Sequence[Reply]) -> Figures:
    right: dict[str, tuple[int, int]] = {}
    for question, reply in zip(questions, replies, strict=True):
        before, of = right.get(question.kind, (0, 0))
        right[question.kind] = (before + (not wrong(question, reply)), of + 1)
    firsts = sorted(reply.first_s * 1000 for reply in replies if reply.first_s is not None) or [0.0]
    rates = [
        (reply.tokens - 1) / (reply.seconds - reply.first_s)
        for reply in replies
        if reply.first_s is not None and not reply.calls and reply.tokens > 4
    ]
    words = [len(reply.text.split()) for reply in replies]
    speakable = [not _UNSPEAKABLE.search(reply.text) for reply in replies]
    told = tuple(
        {"kind": question.kind, "said": question.say[-1], **dataclasses.asdict(reply), "wrong": wrong(question, reply)}
        for question, reply in zip(questions, replies, strict=True)
    )
    return Figures(
        llm.model,
        right,
        round(statistics.median(firsts), 1),
        round(firsts[int(0.95 * (len(firsts) - 1))], 1),
        round(statistics.median(rates), 1) if rates else 0.0,
        statistics.median(words),
        max(words),
        round(statistics.fmean(speakable), 3),
        llm.calls_tools,
        told,
    )


def show(measured: Sequence[Figures]) -> None:
    """Print the table."""
    table = Table(box=box.SIMPLE_HEAD)
    kinds = list(measured[0].right)
    for heading in ("model", "right", *kinds, "first", "p95", "tokens/s", "words", "longest", "speakable"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for each in measured:
        of = sum(count for _, count in each.right.values())
        scores = [f"{right}/{count}" for right, count in each.right.values()]
        times = (f"{each.first_ms:.0f} ms", f"{each.first_p95_ms:.0f} ms", f"{each.tokens_s:.0f}")
        sizes = (f"{each.words:.0f}", str(each.most_words), f"{each.speakable:.0%}")
        table.add_row(each.model, f"{each.score}/{of}", *scores, *times, *sizes)
    Console(width=180).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="", help="ids, paths or the endpoint's names, comma-separated")
    parser.add_argument("--kinds", default="", help="of questions, comma-separated; all by default")
    parser.add_argument("--held-out", action="store_true", help="ask the questions that nobody tunes on; keep no score")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    kinds = options.kinds.split(",") if options.kinds else []
    path = HELD_OUT if options.held_out else QUESTIONS
    questions = [each for each in load_questions(path) if not kinds or each.kind in kinds]
    scored = not options.held_out and len(questions) == QUESTIONS_ASKED
    try:
        settings = resolved(load_settings())
        models = options.models.split(",") if options.models else [settings.llm_model]
        measured = []
        for model in models:
            asked = load_settings({"llm_model": model})
            measured.append(asyncio.run(measure(asked, questions)))
            if scored:
                keep_score(asked, measured[-1].score)
    except (SettingsError, ModelError, EngineError) as error:
        sys.exit(str(error))
    if options.json:
        print(json.dumps([{**dataclasses.asdict(each), "score": each.score} for each in measured], indent=2))
        return
    show(measured)


if __name__ == "__main__":
    main()
