"""How well speech is heard: real clips through the engine as it lies, or through calls, on both int8 paths.

    morgan bench hearing ../shared/audio/dev --both-paths --check
    morgan bench hearing ../shared/audio/dev --call --both-paths
    morgan bench hearing ../shared/audio/dev --windows 4,5,6,8

FOLDER has clips and a manifest.tsv (see bench/real_clips.py); without it the few synthetic ones of tests/clips are
taken. Counted for clips with words: empty, said twice over, taken for another language (short ones with and without a
prior), word error by tag, and the time, all against faster-whisper with beam 5 on full 30 s windows of the same model
in the same run, clip by clip in turns. Clips tagged `noise` are to stay silent: what was made of them is printed.

--call says each clip in a WebRTC call of its own over a running server (--url) or one that is started here.
--windows hears each clip once with so many seconds of silence behind the speech, through Opus, and counts what is said
twice or more: how short the encoder's window may be on this processor.
--both-paths runs once more, in a process of its own, with CTranslate2 kept to AVX2 without MKL: what a processor
without VNNI does. --check ends with 1 where a bound is broken.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.heard_calls import broken_in_calls, call_details, call_figures, call_with_all
from bench.heard_clips import Reference, hear_all
from bench.heard_windows import hear_on_windows, show_windows
from bench.hearing_figures import broken_bounds, details, figures
from bench.hearing_table import show_calls, show_hearing
from bench.own_server import OwnServer
from bench.real_clips import OWN_CLIPS, ManifestError, RealClip, read_clips, spread
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.models import ModelStore
from pipeline.processor import PLAIN_PATH, this_machine
from server.engines.factory import build_stt
from server.settings import Settings, load_settings

Json = dict[str, Any]


async def hear(clips: list[RealClip], options: argparse.Namespace) -> Json:
    """The engine as it lies, against the reference."""
    settings = load_settings({})
    engine = build_stt(settings)
    reference = Reference(stt_folder(settings))
    try:
        heard = await hear_all(clips, engine, reference, _told(clips, options))
    finally:
        await engine.close()
    found = figures(heard)
    return {"figures": found, "broken": broken_bounds(found), "clips": details(heard)}


def stt_folder(settings: Settings) -> Path:
    """Where the weights are: a path as it is, anything else by its id."""
    place = Path(settings.stt_model).expanduser()
    return place if place.is_dir() else ModelStore(settings.models_dir).path(settings.stt_model)


async def hear_windows(clips: list[RealClip], options: argparse.Namespace) -> Json:
    """Each clip on windows of different length."""
    engine = build_stt(load_settings({}))
    try:
        if not isinstance(engine, FasterWhisper):
            raise SystemExit("--windows measures the window of Whisper in this process")
        found = await hear_on_windows(clips, engine, options.windows, _told(clips, options))
    finally:
        await engine.close()
    return {"figures": found, "broken": []}


async def hear_in_calls(clips: list[RealClip], options: argparse.Namespace) -> Json:
    """Each clip in a call."""
    token = os.environ.get("MORGAN_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if options.url:
        heard = await call_with_all(clips, options.url.rstrip("/"), headers, _told(clips, options))
    else:
        with tempfile.TemporaryDirectory(prefix="morgan-bench-") as folder:
            server = OwnServer(Path(folder), MORGAN_MEMORY="off")
            await server.start()
            try:
                heard = await call_with_all(clips, server.url, headers, _told(clips, options))
            finally:
                await server.stop()
    found = call_figures(heard)
    return {"figures": found, "broken": broken_in_calls(found), "clips": call_details(heard)}


def _told(clips: list[RealClip], options: argparse.Namespace) -> Any:
    """Says on stderr which clip is next, where somebody looks."""

    def tell(number: int, clip: RealClip) -> None:
        if options.verbose or sys.stderr.isatty():
            print(f"{number + 1} of {len(clips)}: {clip.name}", file=sys.stderr, flush=True)

    return tell


def run_here(clips: list[RealClip], options: argparse.Namespace) -> Json:
    """One path: the one that this process is on."""
    machine = this_machine()
    way = hear_in_calls if options.call else hear_windows if options.windows else hear
    report = asyncio.run(way(clips, options))
    path = "AVX2 without MKL" if machine.forced else "as the processor allows"
    return {"path": path, "machine": machine.report(), **report}


def run_on_the_plain_path(options: argparse.Namespace) -> Json:
    """The same in a child process whose CTranslate2 has AVX2 alone; its report.

    Raises:
        SystemExit: it failed; its own words are on stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        command = [sys.executable, "-m", "bench.hearing", str(options.folder), "--json", str(file), "--quiet"]
        command += ["--every", str(options.every), *(["--call"] if options.call else [])]
        command += ["--windows", ",".join(map(str, options.windows))] if options.windows else []
        command += ["--verbose"] if options.verbose else []
        done = subprocess.run(command, env={**os.environ, **PLAIN_PATH}, check=False)
        if done.returncode:
            raise SystemExit(done.returncode)
        report: Json = json.loads(file.read_text())[0]
        return report


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=OWN_CLIPS, metavar="FOLDER")
    parser.add_argument("--call", action="store_true", help="say each clip in a WebRTC call")
    parser.add_argument("--url", help="of the server to call; one of its own by default")
    parser.add_argument("--windows", type=_seconds, metavar="S,S", help="hear with so much silence behind the speech")
    parser.add_argument("--both-paths", action="store_true", help="also with CTranslate2 kept to AVX2")
    parser.add_argument("--check", action="store_true", help="end with 1 where a bound is broken")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every clip and figure there")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take one clip of N, for a quick look")
    parser.add_argument("--verbose", action="store_true", help="say which clip is next")
    parser.add_argument("--quiet", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.both_paths and options.url:
        parser.error("--both-paths starts its own servers: give no --url")
    if options.windows and (options.call or options.check):
        parser.error("--windows bounds nothing and makes no calls: give neither --call nor --check")
    return options


def _seconds(text: str) -> list[float]:
    """ "4,5,8" as seconds; argparse tells what is no number."""
    return [float(part) for part in text.split(",")]


def main() -> None:
    """Command line."""
    options = parse()
    try:
        clips = read_clips(options.folder)
    except ManifestError as error:
        raise SystemExit(str(error)) from None
    clips = spread(clips, -(-len(clips) // max(1, options.every)))
    reports = [run_here(clips, options)]
    if options.both_paths:
        reports.append(run_on_the_plain_path(options))
    if options.json:
        options.json.write_text(json.dumps(reports, indent=1, ensure_ascii=False))
    if not options.quiet:
        console = Console()
        console.print(this_machine().describe(), markup=False, highlight=False)
        show = show_calls if options.call else show_windows if options.windows else show_hearing
        show(reports, console)
    if options.check and any(report["broken"] for report in reports):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
