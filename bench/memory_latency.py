"""What it costs a caller that all is written down: voice to voice with memory on and off, beside conversations in text.

    morgan bench memory-latency --pairs 4 --calls 4 --texts 50 --rounds 10

Starts servers of its own in turns, one with memory and one without (`MORGAN_MEMORY=off`), the order changing from pair
to pair. Against each, calls ask questions as `morgan bench voice-to-voice` does while conversations over /api/text go
on, each of them writing a line, reading the answer and pausing. Prints one JSON object for each server, and one with
the difference of the medians and of the 95th percentiles over all pairs, and its spread from pair to pair.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bench.own_server import OwnServer, get_json
from bench.voice_to_voice import CLIPS, Clip, one_call, percentile
from server.cli.call import read_audio

LINES = ("Hello there.", "What can you do?", "Tell me something.", "And then?", "Thank you.")
TEXT_TIMEOUT_S = 120.0

STAGGER_S = 1.5
"""From call to call: whether all ask at the same moment must not be left to chance."""


@dataclass(slots=True)
class Side:
    """What was measured with memory on, or off.

    Attributes:
        gaps_ms: voice to voice as the caller heard it, of every question.
        told_ms: the same as the server tells it.
        asked: questions.
        texts: answered in writing.
        refused: texts that were not answered.
    """

    gaps_ms: list[float] = field(default_factory=list)
    told_ms: list[float] = field(default_factory=list)
    asked: int = 0
    texts: int = 0
    refused: int = 0

    def figures(self) -> dict[str, Any]:
        """Medians and 95th percentiles."""
        found: dict[str, Any] = {"asked": self.asked, "texts": self.texts, "texts_refused": self.refused}
        for name, values in (("heard", self.gaps_ms), ("told", self.told_ms)):
            if values:
                found[f"{name}_p50_ms"] = round(statistics.median(values), 1)
                found[f"{name}_p95_ms"] = round(percentile(values, 0.95), 1)
        return found

    def add(self, other: "Side") -> None:
        """Take in what another server gave."""
        self.gaps_ms += other.gaps_ms
        self.told_ms += other.told_ms
        self.asked += other.asked
        self.texts += other.texts
        self.refused += other.refused


async def write_on(http: aiohttp.ClientSession, url: str, number: int, pause_s: float, side: Side) -> None:
    """One conversation in writing, until cancelled."""
    rng = random.Random(number)
    conversation: dict[str, str] = {}
    await asyncio.sleep(rng.random() * pause_s)
    while True:
        body = {"text": rng.choice(LINES), "user_id": f"writer {number}", **conversation}
        async with http.post(f"{url}/api/text", json=body) as response:
            if response.status == 200:
                side.texts += 1
                conversation = {"conversation_id": (await response.json())["conversation_id"]}
            else:
                side.refused += 1
        await asyncio.sleep(pause_s * (0.5 + rng.random()))


async def measure(memory: str, options: argparse.Namespace) -> Side:
    """One server: its calls beside its texts."""
    side = Side()
    clips = [Clip(read_audio(path)) for path in (CLIPS / "question.wav", CLIPS / "order.wav")]
    with tempfile.TemporaryDirectory() as folder:
        server = OwnServer(
            Path(folder),
            module="bench.timed_engines" if options.timed else "server.cli.main",
            MORGAN_MEMORY=memory,
            MORGAN_RECALL=str(options.recall).lower(),
            MORGAN_LLM_MAX_TOKENS=str(options.max_tokens),
        )
        await server.start()
        timeout = aiohttp.ClientTimeout(TEXT_TIMEOUT_S)
        try:
            async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http:
                writers = [
                    asyncio.create_task(write_on(http, server.url, number, options.pause, side))
                    for number in range(options.texts)
                ]
                await asyncio.sleep(options.settle)

                async def call(number: int) -> Any:
                    await asyncio.sleep(number * STAGGER_S)
                    return await one_call(http, server.url, clips, options.rounds, barge=False, cut=True)

                calls = (call(number) for number in range(options.calls))
                for records, _ in await asyncio.gather(*calls):
                    side.asked += len(records)
                    side.gaps_ms += [each.gap_s * 1000 for each in records if each.gap_s is not None]
                    side.told_ms += [each.server_gap_s * 1000 for each in records if each.server_gap_s is not None]
                await _check(http, server.url, memory)
                for writer in writers:
                    writer.cancel()
                await asyncio.gather(*writers, return_exceptions=True)
        finally:
            await server.stop()
    return side


async def _check(http: aiohttp.ClientSession, url: str, memory: str) -> None:
    """The server that was measured is the one that was meant."""
    health = await get_json(http, f"{url}/health")
    status = health["components"]["postgres"]["status"]
    expected = "ok" if memory == "on" else "off"
    if status != expected:
        raise RuntimeError(f"PostgreSQL is {status} with MORGAN_MEMORY={memory}; nothing can be said of its cost")


async def compare(options: argparse.Namespace) -> dict[str, Any]:
    """All pairs."""
    both = {"on": Side(), "off": Side()}
    differences: list[float] = []
    for pair in range(options.pairs):
        found: dict[str, Side] = {}
        for memory in ("on", "off") if pair % 2 == 0 else ("off", "on"):
            began = time.monotonic()
            found[memory] = await measure(memory, options)
            both[memory].add(found[memory])
            seconds = round(time.monotonic() - began, 1)
            print(json.dumps({"pair": pair + 1, "memory": memory, **found[memory].figures(), "s": seconds}), flush=True)
        if all(side.gaps_ms for side in found.values()):
            p95 = {memory: percentile(side.gaps_ms, 0.95) for memory, side in found.items()}
            differences.append(p95["on"] - p95["off"])
    report: dict[str, Any] = {memory: side.figures() for memory, side in both.items()}
    if all(side.gaps_ms for side in both.values()):
        for name in ("heard_p50_ms", "heard_p95_ms"):
            report[f"memory_adds_{name}"] = round(report["on"][name] - report["off"][name], 1)
        report["of_each_pair_p95_ms"] = [round(each, 1) for each in differences]
    return report


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--timed", action="store_true", help="models that take a set time (see bench/timed_engines.py)")
    parser.add_argument("--recall", action="store_true", help="memories in the prompt, too, for which short turns wait")
    parser.add_argument("--calls", type=int, default=4)
    parser.add_argument("--texts", type=int, default=50, help="conversations in writing at once")
    parser.add_argument("--rounds", type=int, default=10, help="questions of each call")
    parser.add_argument(
        "--pause", type=float, default=10.0, help="mean pause of a writer between answer and next line, s"
    )
    parser.add_argument("--settle", type=float, default=5.0, help="writing begins so long before the calls, s")
    parser.add_argument("--max-tokens", type=int, default=40, help="of a reply")
    print(json.dumps(asyncio.run(compare(parser.parse_args()))))


if __name__ == "__main__":
    main()
