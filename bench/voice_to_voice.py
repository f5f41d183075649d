"""Voice to voice, as a caller hears it: from the last sample of a question to the first audible packet of the answer.

    morgan bench voice-to-voice --calls 4 --rounds 10

Places real WebRTC calls over a running server, speaks the clips at random moments, and prints the median and the 95th
percentile. With --barge every answer is interrupted, and the time to silence is measured too.
"""

import argparse
import asyncio
import json
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp
import numpy as np

from media.values import Pcm
from server.cli.call import RATE, read_audio, speech_tail_s
from server.client.caller import Caller, CallFailedError
from server.client.caller_audio import HeardPacket, Spoken

CLIPS = Path(__file__).resolve().parent.parent / "tests" / "clips"
QUIET_S = 1.5


@dataclass(slots=True)
class Round:
    """One question."""

    gap_s: float | None = None
    server_gap_s: float | None = None
    silence_s: float | None = None


@dataclass(slots=True)
class Clip:
    """A question: the audio, and where its sound begins and ends."""

    pcm: Pcm
    head_s: float = field(init=False)
    tail_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.tail_s = speech_tail_s(self.pcm)
        self.head_s = speech_tail_s(self.pcm[::-1])


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of all lies."""
    return float(np.percentile(values, share * 100))


async def one_call(
    http: aiohttp.ClientSession, url: str, clips: list[Clip], rounds: int, *, barge: bool, cut: bool
) -> tuple[list[Round], list[dict[str, float]]]:
    """Place a call and ask `rounds` questions."""
    done: list[Round] = []
    async with Caller() as caller:
        body = {"sdp": await caller.offer(), "type": "offer", "user_id": "bench"}
        async with http.post(f"{url}/api/calls", json=body) as response:
            response.raise_for_status()
            opened = await response.json()
        await caller.accept(opened["sdp"])
        await asyncio.sleep(1 + random.random())
        for number in range(rounds):
            done.append(await one_round(caller, clips[number % len(clips)], barge=barge, cut=cut))
            await asyncio.sleep(0.3 + random.random() * 0.6)
        await http.delete(f"{url}/api/calls/{opened['call_id']}")
    latencies = [json.loads(text) for _, text in caller.messages if '"morgan.latency"' in text]
    for record, latency in zip(done, latencies, strict=False):
        record.server_gap_s = latency["voice_to_voice_ms"] / 1000
    return done, [latency["stages"] for latency in latencies]


class Talker(Protocol):
    """A caller, whichever way it came."""

    @property
    def packets(self) -> Sequence[HeardPacket]:
        """Every packet that was heard, in order."""

    def say(self, pcm: Pcm, rate: int = RATE) -> asyncio.Future[Spoken]:
        """Say something in real time; done when its last sample has been sent."""

    async def wait_for_sound(self, after: float, timeout: float = 10.0) -> float:
        """Arrival of the first audible packet after an instant; raises CallFailedError when there is none in time."""

    def silent_since(self) -> float | None:
        """Arrival of the last audible packet so far; None when nothing was heard."""

    def stop_reply(self) -> None:
        """Silence what Morgan is saying."""


async def one_round(caller: Talker, clip: Clip, *, barge: bool, cut: bool) -> Round:
    """Ask, wait for the answer, and hear it out or interrupt it."""
    spoken = await caller.say(clip.pcm, RATE)
    end = spoken.last - clip.tail_s
    try:
        first = await caller.wait_for_sound(end, 15)
    except CallFailedError:
        return Round()
    record = Round(gap_s=first - end)
    if barge:
        await asyncio.sleep(0.8)
        said = await caller.say(clip.pcm, RATE)
        begin = said.first + clip.head_s
        record.silence_s = silent_after(caller, begin) - begin
    elif cut:
        await asyncio.sleep(0.6)
        caller.stop_reply()
    await until_quiet(caller)
    return record


def silent_after(caller: Talker, begin: float) -> float:
    """Arrival of the last audible packet before the first pause of 350 ms after an instant."""
    last = begin
    for packet in caller.packets:
        if packet.at < begin or packet.dbfs < -45:
            continue
        if packet.at - last > 0.35:
            break
        last = packet.at
    return last + 0.02


async def until_quiet(caller: Talker) -> None:
    """Wait until nothing was heard for a while."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        last = caller.silent_since()
        if last is None or time.monotonic() - last > QUIET_S:
            return


async def measure(url: str, paths: list[Path], calls: int, rounds: int, *, barge: bool, cut: bool) -> dict[str, object]:
    """Run it all; the figures in milliseconds."""
    clips = [Clip(read_audio(path)) for path in paths]
    async with aiohttp.ClientSession() as http:
        orders = [clips[n % len(clips) :] + clips[: n % len(clips)] for n in range(calls)]
        results = await asyncio.gather(*(one_call(http, url, order, rounds, barge=barge, cut=cut) for order in orders))
    every = [record for records, _ in results for record in records]
    stages = [stage for _, told in results for stage in told]
    gaps = [record.gap_s * 1000 for record in every if record.gap_s is not None]
    stops = [record.silence_s * 1000 for record in every if record.silence_s is not None]
    both = [
        (record.gap_s - record.server_gap_s) * 1000
        for record in every
        if record.gap_s is not None and record.server_gap_s is not None
    ]
    report: dict[str, object] = {"calls": calls, "asked": len(every), "answered": len(gaps)}
    if gaps:
        report |= {"p50_ms": round(statistics.median(gaps)), "p95_ms": round(percentile(gaps, 0.95))}
    if both:
        most: float = max(both, key=abs)
        report |= {"heard_minus_told_p50_ms": round(statistics.median(both)), "heard_minus_told_most_ms": round(most)}
    if stages:
        report["stages_p50_ms"] = {name: round(statistics.median(s[name] for s in stages)) for name in stages[0]}
    if stops:
        report |= {"silence_p50_ms": round(statistics.median(stops)), "silence_p95_ms": round(percentile(stops, 0.95))}
    return report


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path, default=[CLIPS / "question.wav", CLIPS / "order.wav"])
    parser.add_argument("--url", default="http://localhost:8000")
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--barge", action="store_true", help="interrupt every answer")
    parser.add_argument("--cut", action="store_true", help="stop every answer after its first words, to ask sooner")
    options = parser.parse_args()
    work = measure(
        options.url.rstrip("/"), options.clips, options.calls, options.rounds, barge=options.barge, cut=options.cut
    )
    report = asyncio.run(work)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
