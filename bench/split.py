"""What four processes cost over one: voice to voice of both on this machine, by turns.

    morgan bench split --pairs 2 --rounds 10

Starts one server with everything in it and one as core, llm, tts and stt, places the same calls over each, one after
the other with the order changing from pair to pair, and prints the medians of both and their difference.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import aiohttp

from bench.own_server import OwnServer
from bench.split_server import SplitServer
from bench.voice_to_voice import CLIPS, Clip, one_call, percentile
from server.cli.call import read_audio


async def gaps_ms(url: str, options: argparse.Namespace) -> list[float]:
    """Milliseconds from the last word of each question to the first sound of its answer."""
    clips = [Clip(read_audio(path)) for path in (CLIPS / "question.wav", CLIPS / "order.wav")]
    async with aiohttp.ClientSession() as http:
        calls = (one_call(http, url, clips, options.rounds, barge=False, cut=True) for _ in range(options.calls))
        results = await asyncio.gather(*calls)
    return [each.gap_s * 1000 for records, _ in results for each in records if each.gap_s is not None]


async def compare(options: argparse.Namespace) -> dict[str, Any]:
    """All pairs, with both servers up all the time: one idles while the other is measured."""
    found: dict[str, list[float]] = {"one_process": [], "four_processes": []}
    settings = {"MORGAN_MEMORY": "off", **({"MORGAN_STT_MODEL": options.stt_model} if options.stt_model else {})}
    with tempfile.TemporaryDirectory() as folder:
        one = OwnServer(Path(folder) / "one", **settings)
        four = SplitServer(Path(folder) / "four", **settings)
        urls = {"one_process": one.url, "four_processes": four.url}
        try:
            await one.start()
            await four.start()
            for pair in range(options.pairs):
                for kind in sorted(urls, reverse=pair % 2 == 0):
                    measured = await gaps_ms(urls[kind], options)
                    found[kind] += measured
                    print(json.dumps({"pair": pair + 1, "server": kind, **figures(measured)}), flush=True)
        finally:
            await four.stop()
            await one.stop()
    report: dict[str, Any] = {kind: figures(gaps) for kind, gaps in found.items()}
    if all(found.values()):
        medians = {kind: statistics.median(gaps) for kind, gaps in found.items()}
        report["four_processes_add_p50_ms"] = round(medians["four_processes"] - medians["one_process"], 1)
    return report


def figures(gaps: list[float]) -> dict[str, Any]:
    """Of one server."""
    if not gaps:
        return {"answered": 0}
    return {"answered": len(gaps), "p50_ms": round(statistics.median(gaps)), "p95_ms": round(percentile(gaps, 0.95))}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10, help="questions of each call")
    parser.add_argument("--stt-model", default="", help="another than the default one")
    print(json.dumps(asyncio.run(compare(parser.parse_args()))))


if __name__ == "__main__":
    main()
