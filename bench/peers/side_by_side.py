"""Morgan and Pipecat on the same machine with the same models, in turns, one caller: voice to voice of both.

    morgan bench peers ../shared/audio/dev --pipecat /path/to/pipecat-venv/bin/python --rounds 6

Starts both servers and, for Pipecat, a language model endpoint; asks every clip of one and then of the other, the order
changing from clip to clip, by the independent caller of this folder; and prints the median and 95th percentile of
both and their ratio. Without --pipecat Morgan alone is asked; --busy 2 keeps two cores busy meanwhile. FOLDER has clips
and a manifest.tsv; without it those of tests/clips are said. How to install Pipecat: bench/peers/README.md.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from bench.capacity import clips_of
from bench.conclusion import add_outcomes, conclude
from bench.own_server import MIND, OwnServer, ServerFailedError, free_ports
from bench.real_clips import OWN_CLIPS, ManifestError
from pipeline.models import ModelError, ModelStore
from server.settings import Settings, load_settings

HERE: Final = Path(__file__).resolve().parent
START_S: Final = 120.0
MOST_P50: Final = 0.17
"""Of the p50 of Pipecat."""

MOST_P95: Final = 1.5
"""Of the own p50."""


BUSY_LOOP: Final = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
"""Another program that wants a core; ends with the one that started it."""


class Program:
    """A program of a peer.

    Args:
        command: of it.
        url: that answers, with whatever, once it is up.
        log: file for its output.
        environ: that it gets besides that of this process.
    """

    def __init__(self, command: Sequence[str], url: str, log: Path, **environ: str) -> None:
        self._command, self._url, self._log = command, url, log
        self._environ = environ
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ServerFailedError: it ended, or does not answer in time; the message is the end of its log.
        """
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdout=log, stderr=log, env={**os.environ, **self._environ}
            )
        deadline = time.monotonic() + START_S
        async with aiohttp.ClientSession() as http:
            while time.monotonic() < deadline and self._process.returncode is None:
                try:
                    async with http.get(self._url, timeout=aiohttp.ClientTimeout(2)):
                        return
                except (aiohttp.ClientError, TimeoutError):
                    await asyncio.sleep(0.2)
        await self.stop()
        raise ServerFailedError(f"{' '.join(self._command)} did not come up:\n{self._log.read_text()[-2000:]}")

    async def stop(self) -> None:
        """End it."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def start_pipecat(python: str, settings: Settings, folder: Path, running: AsyncExitStack) -> str:
    """Pipecat and its language model; returns Pipecat's address.

    Raises:
        ServerFailedError: one does not come up.
        pipeline.models.ModelError: a model is missing.
    """
    store = ModelStore(settings.models_dir)
    gguf = next(iter(sorted(store.path(settings.llm_model).glob("*.gguf"))))
    voice = next(iter(sorted(store.path(settings.tts_voice.partition("#")[0]).glob("*.onnx"))))
    port, llm_port = free_ports(), free_ports()
    llm = f"http://127.0.0.1:{llm_port}/v1"
    endpoint = Program(
        [sys.executable, str(HERE / "llm_server.py"), str(gguf), str(llm_port)], f"{llm}/models", folder / "llm.log"
    )
    running.push_async_callback(endpoint.stop)
    await endpoint.start()
    bot = Program(
        [python, str(HERE / "pipecat_bot.py")],
        f"http://127.0.0.1:{port}/",
        folder / "pipecat.log",
        PORT=str(port),
        WHISPER=str(store.path(settings.stt_model)),
        PIPER_DIR=str(voice.parent),
        PIPER_VOICE=voice.stem,
        LLM_URL=llm,
        LLM_MODEL="local",
    )
    running.push_async_callback(bot.stop)
    await bot.start()
    return f"http://127.0.0.1:{port}"


async def ask(peer: str, url: str, clip: Path, rounds: int) -> dict[str, Any]:
    """What the independent caller, a process of its own, says of one call."""
    command = [sys.executable, str(HERE / "caller.py"), peer, url, str(clip), "--rounds", str(rounds)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"the caller ended with {process.returncode}; it needs ffmpeg")
    report: dict[str, Any] = json.loads(output)
    return report


async def keep_busy(loops: int, running: AsyncExitStack) -> None:
    """Let so many loops run until the end."""
    for _ in range(loops):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", BUSY_LOOP)
        running.callback(process.kill)


async def compare(options: argparse.Namespace, clips: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    """All clips to both, one after the other; the reports of the caller by peer."""
    settings = load_settings({"llm_model": os.environ.get("MORGAN_LLM_MODEL", MIND)})
    async with AsyncExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="morgan-bench-")))
        urls = {"pipecat": await start_pipecat(options.pipecat, settings, folder, running)} if options.pipecat else {}
        morgan = OwnServer(folder / "morgan")
        running.push_async_callback(morgan.stop)
        await morgan.start()
        urls["morgan"] = morgan.url
        for peer, url in urls.items():
            # What is set up late is set up here, for both.
            await ask(peer, url, clips[0], 1)
        await keep_busy(options.busy, running)
        found: dict[str, list[dict[str, Any]]] = {peer: [] for peer in urls}
        for number, clip in enumerate(clips):
            for peer in sorted(urls, reverse=number % 2 == 1):
                rounds = options.rounds if peer == "morgan" else options.pipecat_rounds or options.rounds
                report = await ask(peer, urls[peer], clip, rounds)
                print(f"{peer} {clip.name}: {json.dumps(report)}", file=sys.stderr, flush=True)
                found[peer].append({"clip": clip.name, **report})
    return found


def summary(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of all calls of one peer."""
    gaps = [gap for report in reports for gap in report["v2v_ms"]]
    return {
        "asked": sum(report["asked"] for report in reports),
        "answered": len(gaps),
        "failed": [why for report in reports for why in report["failed"]],
        "p50_ms": round(float(np.percentile(gaps, 50))) if gaps else None,
        "p95_ms": round(float(np.percentile(gaps, 95))) if gaps else None,
    }


def ratios(morgan: dict[str, Any], pipecat: dict[str, Any]) -> dict[str, float | None]:
    """Morgan's median over Pipecat's, and Morgan's 95th percentile over its own median."""
    own, other = morgan["p50_ms"], pipecat.get("p50_ms")
    return {
        "p50_of_pipecats": round(own / other, 3) if own and other else None,
        "p95_of_own_p50": round(morgan["p95_ms"] / own, 2) if own else None,
    }


def broken(report: dict[str, Any]) -> list[str]:
    """What is out of bounds, in words."""
    lines = []
    morgan, found = report["morgan"], report["ratios"]
    if morgan["answered"] < morgan["asked"] or morgan["failed"]:
        lines.append(f"{morgan['answered']} of {morgan['asked']} answered, {len(morgan['failed'])} calls failed")
    if "pipecat" in report and (found["p50_of_pipecats"] is None or found["p50_of_pipecats"] > MOST_P50):
        lines.append(f"p50 is {found['p50_of_pipecats']} of Pipecat's, at most {MOST_P50} will do")
    if found["p95_of_own_p50"] is None or found["p95_of_own_p50"] > MOST_P95:
        lines.append(f"p95 is {found['p95_of_own_p50']} times the own p50, at most {MOST_P95} will do")
    return lines


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print it."""
    table = Table(title="One caller, in turns", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("", "answered", "p50 ms", "p95 ms"):
        table.add_column(heading, justify="right" if heading else "left")
    for peer in ("morgan", "pipecat"):
        if (row := report.get(peer)) is None:
            continue
        table.add_row(peer, f"{row['answered']} of {row['asked']}", str(row["p50_ms"]), str(row["p95_ms"]))
    console.print(table)
    if "pipecat" in report:
        console.print(f"Morgan's p50 over Pipecat's: {report['ratios']['p50_of_pipecats']}", highlight=False)
    console.print(f"Morgan's p95 over its own p50: {report['ratios']['p95_of_own_p50']}", highlight=False)
    for line in report["broken"]:
        console.print(f"out of bounds: {line}", style="red", markup=False, highlight=False)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=OWN_CLIPS, metavar="FOLDER")
    parser.add_argument("--pipecat", metavar="PYTHON", help="of the environment that has Pipecat; none: Morgan alone")
    parser.add_argument("--clips", type=int, default=10, help="clips of the folder that are said, at most")
    parser.add_argument("--rounds", type=int, default=6, help="times that each clip is said to each server")
    parser.add_argument("--pipecat-rounds", type=int, help="fewer for Pipecat, which takes its time")
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="busy loops beside, as of other programs")
    add_outcomes(parser)
    return parser.parse_args()


def main() -> None:
    """Command line."""
    options = parse()
    try:
        found = asyncio.run(compare(options, clips_of(options.folder, options.clips)))
    except (ManifestError, ModelError, ServerFailedError) as error:
        raise SystemExit(str(error)) from None
    report: dict[str, Any] = {peer: summary(reports) for peer, reports in found.items()}
    report["ratios"] = ratios(report["morgan"], report.get("pipecat", {}))
    report["broken"] = broken(report)
    conclude(options, report, show, calls=found)


if __name__ == "__main__":
    main()
