"""The in-process language model: first tokens, tokens a second, and what batching is worth.

    python -m bench.language_model [--model DIR] [--threads 1,2] [--json]

Every figure is a median. "growing" is the first token of the next turn of a conversation that the cache holds (a
question of 8 to 12 words), "prefilled" the same after `prefill`, "cold" the first turn of a new conversation whose
system message the cache holds. "xN" is N replies of 48 tokens at once, in tokens a second over all of them.
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from pathlib import Path

from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
from pipeline.engines.protocols import ChatRequest, Message
from pipeline.scheduling.lanes import Ticket, Urgency

SYSTEM = Message("system", "You are Morgan, a friendly voice assistant. Answer in one or two short sentences.")
QUESTIONS = (
    "What should I cook for dinner when it is cold outside?",
    "And which of these is the quickest one to make?",
    "Could you tell me what I have to buy for it?",
    "How long will it stay good when I keep it cold?",
    "Is there something sweet that would go well with it?",
    "Thank you, now tell me about the weather in the north.",
)
REPLY_TOKENS = 48
AT_ONCE = (1, 2, 4)


async def first_token(lm: LlamaCppLanguageModel, request: ChatRequest) -> tuple[float, str]:
    """Milliseconds to the first text, and the whole reply."""
    started, first, text = time.perf_counter(), 0.0, ""
    async for delta in lm.stream(request, Ticket(Urgency.FIRST_AUDIO)):
        if not text and delta.text:
            first = time.perf_counter() - started
        text += delta.text
    return first * 1000, text


async def conversation(lm: LlamaCppLanguageModel, turn: int, *, prefill: bool) -> tuple[float, list[float]]:
    """First tokens (ms) of the first turn and of each further one.

    Each begins with another question: of an equal conversation, the answer's prompt would be copied as well.
    """
    messages = [SYSTEM]
    firsts: list[float] = []
    for question in QUESTIONS[turn:] + QUESTIONS[:turn]:
        messages.append(Message("user", question))
        request = ChatRequest(tuple(messages), f"talk-{turn}", 24)
        if prefill:
            await lm.prefill(request, Ticket())
        first, reply = await first_token(lm, request)
        firsts.append(first)
        messages.append(Message("assistant", reply))
    return firsts[0], firsts[1:]


async def throughput(lm: LlamaCppLanguageModel, at_once: int, run: int) -> float:
    """Tokens a second over several replies at once, prompts read before."""
    requests = [
        ChatRequest((SYSTEM, Message("user", f"Tell me a long story about {thing}.")), f"{run}-{thing}", REPLY_TOKENS)
        for thing in ("a fox", "the sea", "a train", "the moon")[:at_once]
    ]
    for request in requests:
        await lm.prefill(request, Ticket())
    before, started = lm.stats.generated, time.perf_counter()
    await asyncio.gather(*(first_token(lm, request) for request in requests))
    return (lm.stats.generated - before) / (time.perf_counter() - started)


async def measure(model: Path, threads: int) -> dict[str, float]:
    """All figures for one number of threads."""
    lm = LlamaCppLanguageModel(LlamaOptions(model, threads=threads))
    await lm.warm_up()
    await conversation(lm, 0, prefill=False)
    figures: dict[str, float] = {}
    cold, growing, prefilled = [], [], []
    for turn in (1, 2, 3):
        first, later = await conversation(lm, turn, prefill=False)
        cold.append(first)
        growing += later
    for turn in (4, 5):
        prefilled += (await conversation(lm, turn, prefill=True))[1]
    figures["cold_ms"] = statistics.median(cold)
    figures["growing_ms"] = statistics.median(growing)
    figures["prefilled_ms"] = statistics.median(prefilled)
    for at_once in AT_ONCE:
        rates = [await throughput(lm, at_once, run) for run in range(3)]
        figures[f"x{at_once}_tokens_s"] = statistics.median(rates)
    figures["batching_gain"] = figures["x4_tokens_s"] / figures["x1_tokens_s"]
    await lm.close()
    return {name: round(value, 2) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path.home() / ".cache" / "morgan" / "models" / "smollm2-135m-instruct"
    parser.add_argument("--model", type=Path, default=default, help="a GGUF file or a folder with one")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, each to be measured")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    results = {}
    for threads in arguments.threads.split(","):
        results[threads] = asyncio.run(measure(arguments.model, int(threads)))
    if arguments.json:
        print(json.dumps({"load_average": os.getloadavg()[0], "threads": results}))
        return
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print("threads  cold  growing  prefilled   x1 tok/s  x2 tok/s  x4 tok/s  4 at once against 1 by 1")
    for threads, f in results.items():
        print(
            f"{threads:>7}  {f['cold_ms']:3.0f} ms  {f['growing_ms']:4.0f} ms  {f['prefilled_ms']:6.1f} ms"
            f"  {f['x1_tokens_s']:9.0f} {f['x2_tokens_s']:9.0f} {f['x4_tokens_s']:9.0f}  {f['batching_gain']:.2f}"
        )


if __name__ == "__main__":
    main()
