"""What the speech service owes: `python -m bench.speech --url http://localhost:8000`.

Asks a running server (its speech service, two ports above) for a text of ten sentences that it has never said, and for
its first clause alone; then for the ten sentences again. Prints for each the medians, over `--runs` texts, of the time
to the first audio and to the last, in milliseconds.
"""

import argparse
import asyncio
import time
import uuid
from statistics import median
from typing import NamedTuple

import aiohttp
from yarl import URL

from server.speech.clauses import clauses
from server.speech.formats import wav_header

WORDS = ("amber", "bridge", "candle", "desert", "engine", "forest", "garden", "harbor", "island", "jacket", "kitchen")


class Times(NamedTuple):
    """Milliseconds from the request to the first audio behind the header, and to the end."""

    first: float
    last: float


async def measure_all() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://localhost:8000", help="of a running server's core")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--format", default="wav")
    options = parser.parse_args()
    core = URL(options.url)
    url = core.with_port((core.port or 80) + 2) / "generate"
    kinds = ("first clause alone", "ten sentences", "the same again")
    found: dict[str, list[Times]] = {kind: [] for kind in kinds}
    async with aiohttp.ClientSession() as http:
        for _ in range(options.runs):
            text = ten_sentences()
            alone = next(clauses(text))
            for kind, said in zip(kinds, (alone, text, text), strict=True):
                found[kind].append(await timed(http, url, said, options.format))
                # The journal's writes belong to nobody's time.
                await asyncio.sleep(0.2)
    for kind, times in found.items():
        first, last = (median(column) for column in zip(*times, strict=True))
        print(f"{kind:20} first audio {first:8.1f} ms, all of it {last:8.1f} ms")
    ratio = median(ten.first / one.first for one, ten in zip(found[kinds[0]], found[kinds[1]], strict=True))
    print(f"first audio of ten sentences / of their first clause alone: {ratio:.2f} (owed: at most 2)")


def ten_sentences() -> str:
    """A text that nobody has said before: its words come from random numbers."""
    number = uuid.uuid4().int
    sentences = []
    for _ in range(10):
        number, one = divmod(number, len(WORDS))
        number, two = divmod(number, len(WORDS))
        number, three = divmod(number, len(WORDS))
        sentences.append(
            f"The {WORDS[one]} near the {WORDS[two]}, as everybody knows, is older than the {WORDS[three]}."
        )
    return " ".join(sentences)


async def timed(http: aiohttp.ClientSession, url: URL, text: str, audio_format: str) -> Times:
    header = len(wav_header(None)) if audio_format == "wav" else 0
    began, first, size = time.perf_counter(), 0.0, 0
    async with http.post(url, json={"text": text, "format": audio_format, "stream": True}) as response:
        response.raise_for_status()
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > header and not first:
                first = time.perf_counter()
    return Times(1000 * (first - began), 1000 * (time.perf_counter() - began))


def main() -> None:
    """Command line."""
    asyncio.run(measure_all())


if __name__ == "__main__":
    main()
