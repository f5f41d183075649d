"""How many callers one server answers in time: 1, 2, 4 and 8 of them at once, with clips of different people.

    morgan bench capacity ../shared/audio/dev --json capacity.json --png capacity.png

Starts a server of its own, or calls a running one (--url). At each level every caller places a WebRTC call, asks
--rounds questions and hears the answers to their end. Printed: how many were let in, refused (503) and answered, the
median and 95th percentile from the last sound of a question to the first of its answer, and the processor time of a
turn by stage, callers left out. FOLDER has clips and a manifest.tsv; without it the clips of tests/clips are said.
--png wants matplotlib: pip install 'morgan-voice[bench]'. --check ends with 1 where a bound is broken.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bench.capacity_figures import Level, broken_levels, refusals_begin
from bench.capacity_plot import plotter
from bench.capacity_table import show_levels
from bench.conclusion import add_outcomes, conclude
from bench.own_server import OwnServer
from bench.processor_time import NoSuchProcessError, Seconds, pid_listening_on, read_stages, spent
from bench.real_clips import OWN_CLIPS, ManifestError, questions, read_clips
from bench.voice_to_voice import CLIPS, Clip, one_call
from pipeline.processor import this_machine
from server.cli.call import read_audio
from server.client.caller import CallFailedError

REST_S = 3.0
"""Quiet between two levels: what the calls left to do is done, and belongs to neither."""


async def measure_level(
    http: aiohttp.ClientSession, url: str, pid: int | None, clips: Sequence[Clip], level: Level, *, cut: bool
) -> Level:
    """All callers of one level at once."""
    before, cpu, began = _stages(pid), time.process_time(), time.monotonic()
    shift = max(1, len(clips) // level.callers)
    orders = [_turned(clips, number * shift) for number in range(level.callers)]
    await asyncio.gather(*(_one(http, url, order, level, cut) for order in orders))
    level.wall_s, level.callers_cpu_s = time.monotonic() - began, time.process_time() - cpu
    after = _stages(pid)
    if before is not None and after is not None:
        level.cpu_s = spent(before, after)
    return level


def _turned(clips: Sequence[Clip], by: int) -> list[Clip]:
    by %= len(clips)
    return [*clips[by:], *clips[:by]]


def _stages(pid: int | None) -> Seconds | None:
    try:
        return read_stages(pid) if pid else None
    except NoSuchProcessError:
        return None


async def _one(http: aiohttp.ClientSession, url: str, clips: list[Clip], level: Level, cut: bool) -> None:
    """One caller; what comes of it goes into the level."""
    began = time.monotonic()
    try:
        rounds, _stages_told = await one_call(http, url, clips, level.rounds, barge=False, cut=cut)
    except aiohttp.ClientResponseError as error:
        if error.status == 503:
            level.refused_s.append(time.monotonic() - began)
        else:
            level.failed.append(f"{error.status} {error.message}")
    except (CallFailedError, aiohttp.ClientError) as error:
        level.failed.append(str(error))
    else:
        level.gaps_s += [each.gap_s for each in rounds]


@asynccontextmanager
async def _server(options: argparse.Namespace) -> AsyncIterator[tuple[str, int | None]]:
    """Address and process id of the server that is called."""
    if options.url:
        url = options.url.rstrip("/")
        yield url, options.pid or pid_listening_on(urlsplit(url).port or 80)
        return
    with tempfile.TemporaryDirectory(prefix="morgan-bench-") as folder:
        server = OwnServer(Path(folder))
        await server.start()
        try:
            yield server.url, server.pid
        finally:
            await server.stop()


async def measure(options: argparse.Namespace, paths: Sequence[Path]) -> list[Level]:
    """All levels, one after the other."""
    clips = [Clip(read_audio(path)) for path in paths]
    token = os.environ.get("MORGAN_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    levels = []
    async with _server(options) as (url, pid), aiohttp.ClientSession(headers=headers) as http:
        # The first call of a process pays for what is set up late; nobody calls a server once.
        await _one(http, url, clips[:1], Level(1, 1), cut=True)
        for callers in options.callers:
            await asyncio.sleep(REST_S)
            level = Level(callers, options.rounds)
            levels.append(await measure_level(http, url, pid, clips, level, cut=options.cut))
    return levels


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=OWN_CLIPS, metavar="FOLDER")
    parser.add_argument("--url", help="of a running server; one of its own by default")
    parser.add_argument("--pid", type=int, help="of that server, for its processor time; found by its port by default")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 2, 4, 8], metavar="N")
    parser.add_argument("--rounds", type=int, default=6, help="questions of each caller")
    parser.add_argument("--clips", type=int, default=12, help="clips of the folder that are said, at most")
    parser.add_argument("--cut", action="store_true", help="stop every answer after its first words, to ask sooner")
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw them there")
    add_outcomes(parser)
    return parser.parse_args()


def clips_of(folder: Path, count: int) -> list[Path]:
    """What the callers say.

    Raises:
        bench.real_clips.ManifestError: the folder has nothing that a caller would say.
    """
    if folder == OWN_CLIPS:
        return [CLIPS / "question.wav", CLIPS / "order.wav", CLIPS / "recall.wav"]
    chosen = [clip.path for clip in questions(read_clips(folder), count)]
    if not chosen:
        raise ManifestError(f"{folder} has no clip that a caller would say")
    return chosen


def main() -> None:
    """Command line."""
    options = parse()
    try:
        paths = clips_of(options.folder, options.clips)
    except ManifestError as error:
        raise SystemExit(str(error)) from None
    draw = plotter() if options.png else None
    levels = asyncio.run(measure(options, paths))
    figures: dict[str, Any] = {
        "clips": [path.name for path in paths],
        "levels": [level.report() for level in levels],
        "refusals_begin_at": refusals_begin(levels),
        "broken": broken_levels(levels),
    }
    if draw is not None:
        draw(figures["levels"], this_machine().describe(), options.png)
    conclude(options, figures, show_levels)


if __name__ == "__main__":
    main()
