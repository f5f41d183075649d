"""What each of Morgan's doors costs: voice to voice through all of them by turns, as differences to `POST /api/calls`.

    morgan bench doors --pairs 4 --rounds 4
    morgan bench doors --timed --json doors.json

Starts a server of its own, unless --url names one, and places a call through each door after the other, the order
turning from pair to pair; each asks the same questions. With --timed that server's transcription, language model and
voice take a set time, so that what is left is what the doors cost; without it they are the real ones, whose time for
the same question varies by more than that.
"""

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from rich import box
from rich.console import Console
from rich.table import Table

from bench.conclusion import add_outcomes, conclude, figure
from bench.door_callers import DOORS, REFERENCE
from bench.own_server import OwnServer
from bench.voice_to_voice import CLIPS, Clip, one_round, percentile
from server.cli.call import read_audio

MOST_MS = 30.0
"""Of what a door may add to the median."""

QUESTION = CLIPS / "question.wav"


@asynccontextmanager
async def _server(options: argparse.Namespace) -> AsyncIterator[str]:
    """Address of the one that is measured."""
    if options.url:
        yield options.url.rstrip("/")
        return
    module = "bench.timed_engines" if options.timed else "server.cli.main"
    with tempfile.TemporaryDirectory() as folder:
        server = OwnServer(Path(folder), module=module, MORGAN_MEMORY="off", MORGAN_GREETING="")
        await server.start()
        try:
            yield server.url
        finally:
            await server.stop()


async def gaps_ms(http: aiohttp.ClientSession, url: str, door: str, clip: Clip, rounds: int) -> list[float | None]:
    """Milliseconds from the last sound of each question to the first of its answer; None where there was none."""
    async with DOORS[door](http, url) as caller:
        await asyncio.sleep(1)
        asked = [await one_round(caller, clip, barge=False, cut=True) for _ in range(rounds)]
    return [None if each.gap_s is None else each.gap_s * 1000 for each in asked]


async def compare(options: argparse.Namespace) -> dict[str, list[float | None]]:
    """All gaps, by door."""
    clip = Clip(read_audio(options.clip))
    found: dict[str, list[float | None]] = {door: [] for door in options.doors}
    async with _server(options) as url, aiohttp.ClientSession() as http:
        # The first call of a process pays for what is set up late.
        await gaps_ms(http, url, REFERENCE, clip, 1)
        for pair in range(options.pairs):
            turned = pair % len(options.doors)
            for door in options.doors[turned:] + options.doors[:turned]:
                found[door] += await gaps_ms(http, url, door, clip, options.rounds)
    return found


def report_of(found: Mapping[str, Sequence[float | None]]) -> dict[str, Any]:
    """Figures of each door, and what it adds to the reference's median; `broken` names those that add too much."""
    doors: dict[str, dict[str, Any]] = {}
    for door, all_gaps in found.items():
        gaps = [gap for gap in all_gaps if gap is not None]
        doors[door] = {"asked": len(all_gaps), "answered": len(gaps)}
        if gaps:
            doors[door] |= {"p50_ms": round(statistics.median(gaps), 1), "p95_ms": round(percentile(gaps, 0.95), 1)}
    least = doors[REFERENCE].get("p50_ms")
    broken = []
    for door, figures in doors.items():
        if least is not None and "p50_ms" in figures:
            figures["adds_ms"] = round(figures["p50_ms"] - least, 1)
        if figures.get("adds_ms", MOST_MS + 1) > MOST_MS or figures["answered"] < figures["asked"]:
            broken.append(door)
    return {"doors": doors, "broken": broken}


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print a report as a table."""
    table = Table(title="Voice to voice by door, ms", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("door", "answered", "p50", "p95", f"to {REFERENCE}"):
        table.add_column(column, justify="left" if column == "door" else "right")
    for door, figures in report["doors"].items():
        times = [figure(figures.get(name)) for name in ("p50_ms", "p95_ms")]
        added = figures.get("adds_ms")
        answered = f"{figures['answered']} of {figures['asked']}"
        table.add_row(door, answered, *times, "-" if added is None else f"{added:+.0f}")
    console.print(table)
    for door in report["broken"]:
        console.print(f"adds more than {MOST_MS:.0f} ms, or did not always answer: {door}", style="red", markup=False)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path, default=QUESTION, help="what is asked")
    parser.add_argument("--url", help="of a running server; one of its own by default")
    parser.add_argument("--timed", action="store_true", help="engines that take a set time, in a server of its own")
    parser.add_argument("--pairs", type=int, default=3, help="calls through each door")
    parser.add_argument("--rounds", type=int, default=4, help="questions of each call")
    parser.add_argument("--door", action="append", dest="doors", choices=list(DOORS), metavar="DOOR", help="only these")
    add_outcomes(parser)
    options = parser.parse_args(arguments)
    chosen = options.doors or list(DOORS)
    options.doors = [REFERENCE, *(door for door in chosen if door != REFERENCE)]
    return options


def main() -> None:
    """Command line."""
    options = parse()
    found = asyncio.run(compare(options))
    conclude(options, {"clip": options.clip.name, "timed": options.timed, **report_of(found)}, show)


if __name__ == "__main__":
    main()
