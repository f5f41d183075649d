"""How long real turns are waited for behind their last sound, which are answered before their end, and which lose it.

    morgan bench waits                      # the clips of the repository
    morgan bench waits ../shared/audio/dev
    morgan bench waits ../shared/audio/dev --json

Every clip of the folder's manifest is a call of its own in virtual time, as in `morgan bench turns`: real models, the
policy and the machine of a server with these settings, engines that take what was measured. A turn is answered early
when a commit came before its last sound; that costs little when the turn is taken up again. Its end is lost when no
turn holds the last sound.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.real_clips import OWN_CLIPS, ManifestError, RealClip, read_clips
from bench.turns import Ears, loaded_ears, options_of, play
from bench.voice_to_voice import percentile
from pipeline.call.events import PlaybackStarted, SpeechStopped
from pipeline.engines.protocols import EngineError
from pipeline.models import ModelError
from server.settings import Settings, SettingsError, load_settings
from server.testing.recorded_call import RecordedCall, Recording, RecordingError, read_recording

LONGEST_S = 22.0
"""Longer clips hold several turns."""

VOICE = 0.5
"""Probability from which a window holds voice."""

NEAR_S = 0.1
"""A commit so shortly before the last window with voice saw the same silence."""

LONG_S = 0.6
"""Waits that are shown one by one."""

console = Console(soft_wrap=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Waited:
    """What became of a clip.

    Attributes:
        clip: its name.
        wait_s: silence behind the last voice until the turn was taken as over; None: its end is in no turn.
        early: commits before the last voice.
        sounded: replies that were heard before it.
        scores: what the turn model said behind it.
        turns: words of the user's turns.
    """

    clip: str
    wait_s: float | None
    early: int
    sounded: int
    scores: list[float]
    turns: list[str]


def waited_for(clip: RealClip, call: RecordedCall) -> Waited | None:
    """What a call that was played to its end made of a clip; None where voice activity hears nobody."""
    recording = call.recording
    voiced = [window.at for window in recording.all_windows() if window.probability >= VOICE]
    if not voiced:
        return None
    end = recording.second(voiced[-1])
    told = [(recording.second(at), event) for at, event in call.events]
    commits = [at for at, event in told if isinstance(event, SpeechStopped)]
    replies = [at for at, event in told if isinstance(event, PlaybackStarted)]
    behind = [at - end for at in commits if at >= end - NEAR_S]
    return Waited(
        clip.name,
        round(behind[0], 3) if behind else None,
        sum(at < end - NEAR_S for at in commits),
        sum(at < end - NEAR_S for at in replies),
        [round(judged.score, 2) for judged in call.judged if judged.at > end],
        [entry.text for entry in call.context.entries if entry.role == "user"],
    )


def wait_for_all(clips: Sequence[RealClip], ears: Ears, settings: Settings) -> Iterator[Waited]:
    """Play each clip to a call of its own."""
    for clip in clips:
        with Recording(read_recording(clip.path), ears.vad, ears.turn, ears.stt) as recording:
            result = waited_for(clip, play(recording, options_of(settings)))
        if result is not None:
            yield result


def figures(results: Sequence[Waited]) -> dict[str, object]:
    """The figures of all clips."""
    waits = [result.wait_s * 1000 for result in results if result.wait_s is not None]
    return {
        "clips": len(results),
        "wait_p50_ms": round(statistics.median(waits)) if waits else None,
        "wait_p95_ms": round(percentile(waits, 0.95)) if waits else None,
        "answered_early": sum(bool(result.early) for result in results),
        "early_replies_that_sounded": sum(result.sounded for result in results),
        "ends_lost": [result.clip for result in results if result.wait_s is None],
    }


def show(results: Sequence[Waited]) -> None:
    """Every clip that waited long, was answered early or lost its end."""
    table = Table("clip", "waited ms", "early", "sounded", "turn model", "turns", box=None, pad_edge=False)
    for result in sorted(results, key=lambda each: -1.0 if each.wait_s is None else each.wait_s, reverse=True):
        if result.early or result.wait_s is None or result.wait_s > LONG_S:
            table.add_row(
                result.clip,
                "lost" if result.wait_s is None else f"{result.wait_s * 1000:.0f}",
                str(result.early),
                str(result.sounded),
                " ".join(f"{score:.2f}" for score in result.scores),
                " | ".join(result.turns),
            )
    console.print(table)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=OWN_CLIPS, help="clips and their manifest.tsv")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    console.stderr = options.json
    try:
        settings = load_settings()
        clips = [clip for clip in read_clips(options.folder) if clip.spoken and clip.seconds <= LONGEST_S]
        with loaded_ears(settings) as ears:
            results = list(wait_for_all(clips, ears, settings))
    except (RecordingError, ManifestError, ModelError, EngineError, SettingsError) as error:
        sys.exit(str(error))
    show(results)
    found = figures(results)
    for name, value in found.items():
        console.print(f"{name.replace('_', ' ')}: {value}")
    if options.json:
        print(json.dumps({**found, "results": [asdict(result) for result in results]}))


if __name__ == "__main__":
    main()
