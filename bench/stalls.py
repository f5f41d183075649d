"""A caller whose audio stalls: which words of a question are lost when what was held back comes in a burst.

    morgan bench stalls                                  # 40 stalls of 0.1 to 2 s, clips of the tests
    morgan bench stalls --folder recordings --stalls 20  # clips of a folder with a manifest.tsv
    morgan bench stalls --drop                           # the stall swallows its packets

Speaks questions in a real call over a running server: every clip first twice without a stall, for its words (a clip
that is not heard the same both times is left out), then each time with one stall at a random place, in which no packet
goes out. Behind it all of them do at once (with --drop none: then words that the stall covers do not count). Prints the
lost words by length of the stall; ends with 1 when more than `--most-lost` of all words were lost or a question of
which something is left was not answered.
"""

import argparse
import asyncio
import csv
import itertools
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from bench.spoken_words import words_not_said, words_of, words_on_top
from bench.voice_to_voice import CLIPS, Clip, until_quiet
from server.cli.call import RATE, CallError, read_audio
from server.client.caller import Caller, CallFailedError

QUESTIONS = ("question.wav", "order.wav", "recall.wav")
MOST_CLIPS = 10
CLIP_S = (1.0, 8.0)
"""Shortest and longest clip of a folder that is asked."""

SHORTEST_S, LONGEST_S = 0.1, 2.0
BUCKETS = ((0.1, 0.5), (0.5, 1.0), (1.0, 2.0))
ANSWER_S = 20.0
"""Longest wait for an answer."""

SETTLE_S = 1.0
"""Time for a turn to be taken up again."""

MARGIN_S = 0.2
"""Words so near to a swallowed stretch may be lost with it: the times of words are no more exact."""

console = Console(soft_wrap=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Question:
    """A clip and its words.

    Attributes:
        name: of the file.
        clip: the audio.
        words: as they are heard without a stall.
        times: (word, begin, end) in seconds of the clip, as far as they are needed.
    """

    name: str
    clip: Clip
    words: list[str]
    times: list[tuple[str, float, float]]

    @property
    def spoken_s(self) -> tuple[float, float]:
        """Where its sound begins and ends."""
        return self.clip.head_s, len(self.clip.pcm) / RATE - self.clip.tail_s

    def expected(self, swallowed: tuple[float, float] | None) -> list[str]:
        """The words that are owed when a stretch was swallowed."""
        if swallowed is None:
            return self.words
        begin, end = swallowed
        return [word for word, start, stop in self.times if stop < begin - MARGIN_S or start > end + MARGIN_S]


@dataclass(frozen=True, slots=True)
class Stalled:
    """A question that was asked over a stall.

    Attributes:
        name: of the clip.
        begin_s: second of the clip at which the stall began.
        length_s: of the stall.
        packets: that it held back.
        said: what was heard.
        expected: how many words are owed.
        lost: of these, those that are not there.
        twice: words too many.
        answered: whether an answer came.
        over_caller: it began to sound before everything that the caller said had been sent.
        gap_s: from the caller's last sound, or the end of the stall if that was later, to the answer.
    """

    name: str
    begin_s: float
    length_s: float
    packets: int
    said: str
    expected: int
    lost: list[str]
    twice: list[str]
    answered: bool
    over_caller: bool
    gap_s: float | None


def clips_of(folder: Path | None, rng: random.Random) -> dict[str, Clip]:
    """The clips to ask: those of the tests, or of a folder by its manifest (columns file, language, transcript).

    Raises:
        CallError: one cannot be read, or there is none.
    """
    if folder is None:
        return {name: Clip(read_audio(CLIPS / name)) for name in QUESTIONS}
    manifest = folder / "manifest.tsv"
    if not manifest.is_file():
        raise CallError(f"{manifest}: there is no such file; it names the clips, with columns file and transcript")
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row.get("language", "en") == "en"]
    names = [row["file"] for row in rows if len(row.get("transcript", "").split()) >= 3]
    rng.shuffle(names)
    found: dict[str, Clip] = {}
    for name in names:
        pcm = read_audio(folder / name)
        if CLIP_S[0] <= len(pcm) / RATE <= CLIP_S[1]:
            found[name] = Clip(pcm)
        if len(found) == MOST_CLIPS:
            break
    if not found:
        raise CallError(f"{manifest} names no English clip of {CLIP_S[0]:.0f} to {CLIP_S[1]:.0f} s with three words")
    return found


async def word_times(http: aiohttp.ClientSession, url: str, name: str, data: bytes) -> list[tuple[str, float, float]]:
    """When each word of a clip is said, by the server's own transcription."""
    form = aiohttp.FormData()
    form.add_field("file", data, filename=name)
    for field, value in (
        ("model", "whisper-1"),
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"),
        ("language", "en"),
    ):
        form.add_field(field, value)
    async with http.post(f"{url}/v1/audio/transcriptions", data=form) as response:
        response.raise_for_status()
        told = await response.json()
    return [
        (word, float(each["start"]), float(each["end"])) for each in told["words"] for word in words_of(each["word"])
    ]


class Asker:
    """Asks in one call.

    Args:
        caller: connected.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def ask(self, clip: Clip, stall: tuple[float, float] | None, *, drop: bool) -> tuple[str, Any]:
        """Ask once; returns the words that were heard, and what is known of the answer.

        Args:
            clip: the question.
            stall: second of the clip at which it begins, and its length.
            drop: whether it swallows its packets.
        """
        caller = self._caller
        seen = len(caller.messages)
        began = time.monotonic()
        saying = caller.say(clip.pcm, RATE)
        packets, over = 0, began
        if stall is not None:
            await asyncio.sleep(stall[0])
            caller.stall()
            await asyncio.sleep(stall[1])
            packets = await caller.end_stall(drop=drop)
            over = time.monotonic()
        spoken = await saying
        end = max(spoken.last - clip.tail_s, over)
        try:
            await caller.wait_for_sound(end, ANSWER_S)
            first = caller.first_sound_after(began)
            await asyncio.sleep(SETTLE_S)
        except CallFailedError:
            first = None
        said: dict[str, str] = {}
        for _, text in list(caller.messages)[seen:]:
            event = json.loads(text)
            if event["type"] == "conversation.item.input_audio_transcription.completed":
                said[event["item_id"]] = event["transcript"]
        caller.send(json.dumps({"type": "response.cancel"}))
        await until_quiet(caller)
        answer = {
            "packets": packets,
            "answered": first is not None,
            "over_caller": first is not None and first < end,
            "gap_s": None if first is None or first < end else first - end,
        }
        return " ".join(said.values()), answer


async def measure(url: str, folder: Path | None, stalls: int, seed: int, *, drop: bool) -> list[Stalled]:
    """Ask everything; tells as it goes.

    Raises:
        CallError, CallFailedError, aiohttp.ClientError: no call, or no clips.
    """
    rng = random.Random(seed)
    clips = clips_of(folder, rng)
    files = {name: ((folder or CLIPS) / name).read_bytes() for name in clips}
    async with aiohttp.ClientSession() as http, Caller() as caller:
        body = {"sdp": await caller.offer(), "type": "offer", "user_id": "bench-stalls", "language": "en"}
        async with http.post(f"{url}/api/calls", json=body) as response:
            response.raise_for_status()
            opened = await response.json()
        try:
            await caller.accept(opened["sdp"])
            await caller.channel_open()
            await asyncio.sleep(1.0)
            asker = Asker(caller)
            questions = []
            for name, clip in clips.items():
                times = await word_times(http, url, name, files[name]) if drop else []
                (said, _), (again, _) = [await asker.ask(clip, None, drop=False) for _ in range(2)]
                console.print(f"{name}: {said}")
                if said and words_of(said) == words_of(again):
                    questions.append(Question(name, clip, words_of(said), times))
                else:
                    console.print(f"{name} is left out; the second time it was: {again}")
            if not questions:
                raise CallError("No clip was heard the same twice")
            asked = itertools.islice(itertools.cycle(questions), stalls)
            return [await _one(asker, question, rng, drop=drop) for question in asked]
        finally:
            await http.delete(f"{url}/api/calls/{opened['call_id']}")


async def _one(asker: Asker, question: Question, rng: random.Random, *, drop: bool) -> Stalled:
    length = rng.uniform(SHORTEST_S, LONGEST_S)
    begin = rng.uniform(*question.spoken_s)
    said, answer = await asker.ask(question.clip, (begin, length), drop=drop)
    expected = question.expected((begin, begin + length) if drop else None)
    lost = words_not_said(said, expected)
    twice = [] if drop else words_on_top(said, expected)
    if lost or twice or not answer["answered"]:
        console.print(f"{question.name}, {length:.2f} s at {begin:.2f}: lost {lost}, too many {twice}: {said!r}")
    return Stalled(question.name, begin, length, said=said, expected=len(expected), lost=lost, twice=twice, **answer)


def figures(results: Sequence[Stalled]) -> dict[str, Any]:
    """The figures of some stalls."""
    gaps = [result.gap_s for result in results if result.gap_s is not None]
    return {
        "stalls": len(results),
        "words": sum(result.expected for result in results),
        "lost": sum(len(result.lost) for result in results),
        "said_twice": sum(len(result.twice) for result in results),
        "answered": sum(result.answered for result in results),
        "unanswered": sum(bool(result.expected) and not result.answered for result in results),
        "answered_over_the_caller": sum(result.over_caller for result in results),
        "packets_held_back": sum(result.packets for result in results),
        "answer_p50_ms": round(statistics.median(gaps) * 1000) if gaps else None,
    }


def show(results: Sequence[Stalled]) -> dict[str, Any]:
    """The table by length of the stall; returns all figures."""
    report: dict[str, Any] = {"all": figures(results)}
    columns = (name.replace("_", " ") for name in report["all"])
    table = Table("stall", *columns, box=None, pad_edge=False, min_width=110)
    for least, most in BUCKETS:
        report[f"{least}-{most} s"] = figures([result for result in results if least <= result.length_s < most])
    for name, row in report.items():
        table.add_row(name, *(str(value) for value in row.values()))
    console.print(table)
    return report


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://localhost:8000")
    parser.add_argument("--folder", type=Path, help="with clips and a manifest.tsv; the tests' own by default")
    parser.add_argument("--stalls", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--drop", action="store_true", help="the stall swallows its packets")
    parser.add_argument("--most-lost", type=float, default=0.01, help="share of the words that may be lost")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    console.stderr = options.json
    work = measure(options.url.rstrip("/"), options.folder, options.stalls, options.seed, drop=options.drop)
    try:
        report = show(asyncio.run(work))
    except (CallError, CallFailedError) as error:
        sys.exit(str(error))
    if options.json:
        print(json.dumps(report))
    everything = report["all"]
    if everything["lost"] > options.most_lost * everything["words"] or everything["unanswered"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
