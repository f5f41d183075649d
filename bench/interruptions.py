"""What happens when somebody speaks, coughs or echoes over a reply, as a caller hears it over real WebRTC calls.

    morgan bench interruptions --interruptions 20 --noises 20 --echoes 3 --noise -35

Gets a running server to tell a story, call after call, and then

- interrupts it at random moments: time from the first sample of the interruption to a quieter and to a silent reply,
  and whether what the server keeps of the reply is what Whisper finds in the recording of it;
- coughs, says "mhm" and slams doors over it: whether it goes on, and whether Whisper finds every word of it;
- sends back what it hears, 25 dB down and 40-80 ms late: whether the reply is heard to its end all the same.

Prints one JSON object. Whisper runs in this process, when the calls are over.
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from bench import noises
from bench.long_reply import Gap, LongReply
from bench.spoken_words import Listener, lost_words, words_heard, words_of
from bench.voice_to_voice import CLIPS, Clip, percentile
from media.values import Pcm
from pipeline.models import default_root
from server.cli.call import RATE, read_audio
from server.client.caller import CallFailedError

INTERRUPTIONS = (CLIPS / "interruption.wav", CLIPS.parents[2] / "shared" / "audio" / "weather.wav")
"""What is said over a reply: those of them that there are."""

KINDS = ("cough", "mhm", "door slam")

CUT_WITHIN_S = 3.0
"""A reply that is not given up this long after the interruption began was not interrupted."""

STALL_S = 1.0
"""A longer pause between two packets is the machine standing still: the call is made again, and counted."""

MOST_REPEATS = 20

WINDOW_S = (3.5, 4.5)
"""Sound before and after a noise in which every word is looked for."""


@dataclass(slots=True)
class Interruption:
    """Real speech over a reply.

    Attributes:
        clip: which.
        after_commit_s: when it began, from the commit of the turn that the reply answers.
        quieter_s: from its first sample to the last packet as loud as the reply was; 0 where the reply happened to be
            quiet by itself just then.
        silent_s: from its first sample to the last audible packet.
        cut: the server gave the reply up.
        merged: it belonged to the turn of a moment ago, so that nothing of the reply is kept.
        told: the words that the server says were heard.
        kept: those that `GET /api/conversations/{id}/messages` has.
        reply: all words that were written for the reply.
        sound: what was heard of it.
    """

    clip: str
    after_commit_s: float
    quieter_s: float = 0.0
    silent_s: float = 0.0
    cut: bool = False
    merged: bool = False
    told: str = ""
    kept: str | None = None
    reply: str = ""
    sound: Pcm = field(default_factory=lambda: np.zeros(0, np.int16))


@dataclass(slots=True)
class Noise:
    """A cough, an "mhm" or a door over a reply.

    Attributes:
        kind: which.
        ducked: the server made the reply quieter for it.
        paused: the server held the reply for it.
        cut: the server gave the reply up.
        understood: the words that it took the noise for, when it did.
        reply: all words of the reply.
        sound: what was heard of it around the noise.
    """

    kind: str
    ducked: bool
    paused: bool
    cut: bool
    understood: str
    reply: str
    sound: Pcm


@dataclass(slots=True)
class Echo:
    """A reply with its own echo.

    Attributes:
        disturbed_early: how often the server took the echo for somebody in the first second of the reply.
        disturbed: how often in all.
        finished: the reply was heard to its end.
        reply: its words.
        sound: what was heard of it.
    """

    disturbed_early: int
    disturbed: int
    finished: bool
    reply: str
    sound: Pcm


async def interrupt(call: LongReply, clip: Clip, name: str, delay_s: float) -> Interruption:
    """Ask for a story, interrupt it `delay_s` after it began, and see what comes of it."""
    reply = await call.ask()
    await call.until(reply.began + delay_s)
    said = await call.caller.say(clip.pcm, RATE)
    begin = said.first + clip.head_s
    record = Interruption(name, begin - reply.committed)
    await call.until(begin + CUT_WITHIN_S)
    call.read(reply)
    record.cut = reply.cleared is not None and reply.cleared - begin < CUT_WITHIN_S
    if record.cut and reply.cleared is not None:
        record.silent_s = call.last_sound(reply.cleared + 0.06) - begin
        record.quieter_s = call.last_loud(begin, reply.cleared + 0.06) - begin
        record.sound = call.sound(reply.began, reply.cleared + 0.06)
    record.told, record.reply = reply.heard, reply.text
    record.merged = reply.merged
    return record


async def disturb(call: LongReply, kinds: Sequence[str], rng: np.random.Generator, mhm: Pcm) -> list[Noise]:
    """Ask for a story and make noises over it, as many as it is long enough for."""
    reply = await call.ask()
    await call.until(reply.began + rng.uniform(0.5, 2.0))
    made: list[tuple[str, float, Counter[str]]] = []
    for kind in kinds:
        call.read(reply)
        if reply.over is not None or not call.sounding():
            break
        sound = {"cough": noises.cough, "door slam": noises.door_slam}.get(kind)
        before = await call.counts()
        said = await call.caller.say(mhm if sound is None else sound(rng), RATE)
        await call.until(said.last + rng.uniform(2.0, 3.5))
        made.append((kind, said.first, await call.counts() - before))
    if made:
        await call.until(made[-1][1] + WINDOW_S[1])
    call.read(reply)
    records = []
    for number, (kind, at, counted) in enumerate(made):
        following = made[number + 1][1] if number + 1 < len(made) else at + CUT_WITHIN_S
        cut = reply.cleared is not None and at < reply.cleared < following
        sound_around = call.sound(max(reply.began - 0.1, at - WINDOW_S[0]), at + WINDOW_S[1])
        understood = call.understood(at) if cut else ""
        ducked, paused = counted["ducked"] > 0, counted["paused"] > 0
        records.append(Noise(kind, ducked, paused, cut, understood, reply.text, sound_around))
    return records


async def echo(call: LongReply) -> Echo:
    """Ask for a story and hear it out."""
    reply = await call.ask()
    await call.until(reply.began + 1.0)
    early = await call.counts()
    await call.until_over(reply)
    counts = await call.counts()
    finished = reply.cleared is None and reply.status == "completed"
    sound = call.sound(reply.began - 0.1, call.last_sound(None) + 0.06)
    return Echo(early["ducked"], counts["ducked"], finished, reply.text, sound)


class Bench:
    """Places the calls and collects what came of them.

    Args:
        url: of the server.
        noise: of the microphones, standard deviation in 16-bit steps.
        seed: of everything random.
    """

    def __init__(self, url: str, noise: float, seed: int) -> None:
        self._url = url
        self._noise = noise
        self._rng = np.random.default_rng(seed)
        self._mhm = read_audio(CLIPS / "mhm.wav")
        self.interruptions: list[Interruption] = []
        self.noises: list[Noise] = []
        self.echoes: list[Echo] = []
        self.gaps: list[Gap] = []
        self.failed: list[str] = []
        self.stalled = 0

    async def run(self, interruptions: int, noises_wanted: int, echoes: int) -> None:
        """Make the calls, one after the other; one that fails or stalls is told and made up for."""
        clips = {path.stem: Clip(read_audio(path)) for path in INTERRUPTIONS if path.is_file()}
        async with aiohttp.ClientSession() as http:
            while len(self.interruptions) < interruptions and self._patient:
                await self._call(self._interrupt(http, *list(clips.items())[len(self.interruptions) % len(clips)]))
            while len(self.noises) < noises_wanted and self._patient:
                await self._call(self._disturb(http, noises_wanted - len(self.noises)))
            while len(self.echoes) < echoes and self._patient:
                await self._call(self._echo(http))

    @property
    def _patient(self) -> bool:
        return len(self.failed) + self.stalled < MOST_REPEATS

    async def _call(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (CallFailedError, aiohttp.ClientError) as error:
            self.failed.append(str(error))

    async def _interrupt(self, http: aiohttp.ClientSession, name: str, clip: Clip) -> None:
        async with LongReply(http, self._url, self._noise) as call:
            record = await interrupt(call, clip, name, float(self._rng.uniform(0.2, 5.0)))
        record.kept = await call.kept_of_interrupted()
        if self._sound(call):
            self.interruptions.append(record)

    async def _disturb(self, http: aiohttp.ClientSession, most: int) -> None:
        kinds = [KINDS[(len(self.noises) + number) % len(KINDS)] for number in range(most)]
        async with LongReply(http, self._url, self._noise) as call:
            records = await disturb(call, kinds, self._rng, self._mhm)
        if self._sound(call):
            self.noises += records

    async def _echo(self, http: aiohttp.ClientSession) -> None:
        delay_s = float(self._rng.uniform(0.04, 0.08))
        async with LongReply(http, self._url, self._noise, leak_db=-25.0, leak_s=delay_s) as call:
            record = await echo(call)
        if self._sound(call):
            self.echoes.append(record)

    def _sound(self, call: LongReply) -> bool:
        """Whether the machine let the call be; what a stall of a second did to it is not the conversation's doing."""
        if call.stall_s() > STALL_S:
            self.stalled += 1
            return False
        self.gaps += call.gaps
        print(".", end="", file=sys.stderr, flush=True)
        return True


async def report(bench: Bench, listener: Listener) -> dict[str, Any]:
    """The figures, in milliseconds and words; Whisper hears every recording first."""
    result: dict[str, Any] = {"failed_calls": bench.failed, "stalled_calls": bench.stalled}
    if bench.interruptions:
        result["interruptions"] = await _of_interruptions(bench.interruptions, listener)
    if bench.noises:
        result["noises"] = await _of_noises(bench.noises, listener)
    if bench.echoes:
        result["echoes"] = await _of_echoes(bench.echoes, listener)
    told = [gap.heard_s - gap.stages_s for gap in bench.gaps if gap.stages_s is not None]
    if told:
        apart = [abs(seconds) for seconds in told]
        result["heard_gap_apart_from_stages"] = {
            "turns": len(told),
            **_spread(apart),
            "max_ms": round(max(apart) * 1000),
            "mean_ms": round(statistics.mean(told) * 1000),
        }
    return result


async def _of_interruptions(records: Sequence[Interruption], listener: Listener) -> dict[str, Any]:
    cut = [record for record in records if record.cut]
    kept = [record for record in cut if not record.merged]
    differences, apart = [], []
    for record in kept:
        transcript = await listener.transcribe(record.sound, RATE)
        differences.append(len(words_of(record.told)) - words_heard(transcript, record.reply))
        if abs(differences[-1]) > 1:
            apart.append({"told": record.told[-40:], "heard": transcript[-40:]})
    loud = [record.quieter_s for record in cut if record.quieter_s > 0]
    return {
        "made": len(records),
        "cut": len(cut),
        "later_than_2_s_after_commit": sum(record.after_commit_s > 2 for record in records),
        "merged_with_the_turn_before": sum(record.merged for record in cut),
        "quieter": {"rounds": len(loud), **_spread(loud)},
        "silent": _spread([record.silent_s for record in cut]),
        "words_told_minus_heard": differences,
        "more_than_a_word_apart": apart,
        "within_one_word": sum(abs(difference) <= 1 for difference in differences),
        "kept_as_told": sum(record.kept == (record.told or None) for record in kept),
    }


async def _of_noises(records: Sequence[Noise], listener: Listener) -> dict[str, Any]:
    whole = [record for record in records if not record.cut]
    lost = [lost_words(await listener.transcribe(record.sound, RATE), record.reply) for record in whole]
    kinds = {
        kind: {
            "made": sum(record.kind == kind for record in records),
            "ducked": sum(record.kind == kind and record.ducked for record in records),
            "paused": sum(record.kind == kind and record.paused for record in records),
            "went_on": sum(record.kind == kind and not record.cut for record in records),
        }
        for kind in KINDS
    }
    return {
        "made": len(records),
        "went_on": len(whole),
        "kinds": kinds,
        "taken_for": [record.understood for record in records if record.cut],
        "words_lost": [words for words in lost if words],
    }


async def _of_echoes(records: Sequence[Echo], listener: Listener) -> dict[str, Any]:
    lost = [lost_words(await listener.transcribe(record.sound, RATE), record.reply) for record in records]
    return {
        "made": len(records),
        "disturbed_in_first_second": sum(record.disturbed_early > 0 for record in records),
        "disturbances": sum(record.disturbed for record in records),
        "heard_to_the_end": sum(record.finished for record in records),
        "words_lost": [words for words in lost if words],
    }


def _spread(seconds: Sequence[float]) -> dict[str, int]:
    if not seconds:
        return {}
    values = [second * 1000 for second in seconds]
    return {"p50_ms": round(statistics.median(values)), "p95_ms": round(percentile(values, 0.95))}


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run it all."""
    bench = Bench(options.url.rstrip("/"), noises.noise_deviation(options.noise), options.seed)
    await bench.run(options.interruptions, options.noises, options.echoes)
    async with Listener(options.models) as listener:
        return {"noise_dbfs": options.noise, **await report(bench, listener)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://localhost:8000")
    parser.add_argument("--interruptions", type=int, default=20, help="calls with real speech over the reply")
    parser.add_argument("--noises", type=int, default=20, help="coughs, mhms and door slams")
    parser.add_argument("--echoes", type=int, default=3, help="calls with an echo")
    parser.add_argument("--noise", type=float, help="level of white noise in the microphone, dBFS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", type=Path, default=default_root(), help="where Whisper is")
    print(json.dumps(asyncio.run(measure(parser.parse_args()))))


if __name__ == "__main__":
    main()
