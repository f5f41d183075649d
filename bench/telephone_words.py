"""What a telephone costs in words: real clips heard wide-band, and as G.711 at 8 kHz as they come from a line.

    morgan bench telephone-words ../shared/audio/dev
    morgan bench telephone-words ../shared/audio/dev --limit 30 --law alaw

FOLDER has clips and a manifest.tsv (see bench/real_clips.py). Each clip is heard by the engine as it lies, and once
more after it went through what a telephone call goes through: 8 kHz, the law, 20 ms pieces, the intake of a line.
Printed is the word error of both over the clips whose words are known, in one run, and the difference in points, of all
and of those that are 8 kHz themselves (tag phone-band), whose cost is the line's alone; --check ends with 1 where that
is more than two.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from bench.heard_clips import hear_with, read_clip
from bench.real_clips import OWN_CLIPS, RealClip, read_clips, spread
from bench.word_errors import Errors, count_errors, total
from media import g711
from media.pcm_intake import PcmIntake
from media.telephone_band import Encoding, to_linear, to_wire
from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.protocols import SpeechToText
from server.engines.factory import build_stt
from server.settings import load_settings

MOST_POINTS = 2.0
"""Of word error that a telephone may cost."""

PHONE_BAND = "phone-band"
"""Tag of clips that are 8 kHz themselves: what lies above is no loss of the line."""

PIECE_S = 0.02


def over_the_line(audio: Waveform, law: Encoding) -> Waveform:
    """16 kHz sound as Morgan hears it that came over a telephone line, shape (n,)."""
    narrow = soxr.resample(audio, HEARING_RATE, g711.RATE)
    wire = to_wire(np.clip(narrow * 32_767, -32_768, 32_767).astype(np.int16), law)
    intake, now = PcmIntake(g711.RATE), 0.0
    intake.begin(now)
    size = round(g711.RATE * PIECE_S)
    heard = []
    for at in range(0, len(wire), size):
        now += PIECE_S
        intake.feed(to_linear(wire[at : at + size], law), now)
        heard += [frame.pcm for frame in intake.due(now)]
    heard += [frame.pcm for frame in intake.drain(now, 10)]
    return np.asarray(np.concatenate(heard) / 32_768, np.float32)


async def measure(clips: list[RealClip], engine: SpeechToText, law: Encoding) -> tuple[list[Errors], list[Errors]]:
    """Errors of each clip, wide-band and over the line; by turns, so that noise of the machine hits both."""
    wide: list[Errors] = []
    narrow: list[Errors] = []
    for clip in clips:
        sound = read_clip(clip)
        for errors, audio in ((wide, sound), (narrow, over_the_line(sound, law))):
            heard = await hear_with(engine, audio, clip.language)
            errors.append(count_errors(clip.transcript, heard.text, clip.language))
        print(f"{clip.name}: {wide[-1].edits} {narrow[-1].edits} of {wide[-1].words}", file=sys.stderr, flush=True)
    return wide, narrow


def main() -> None:
    """Measure, and print as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=OWN_CLIPS)
    parser.add_argument("--limit", type=int, default=0, help="so many clips, spread over all")
    parser.add_argument("--law", choices=["mulaw", "alaw"], default="mulaw")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    clips = [clip for clip in read_clips(options.folder) if clip.spoken and clip.transcript]
    if options.limit:
        clips = spread(clips, options.limit)

    async def run() -> tuple[list[Errors], list[Errors]]:
        engine = build_stt(load_settings({}))
        try:
            return await measure(clips, engine, options.law)
        finally:
            await engine.close()

    wide, narrow = asyncio.run(run())
    banded = [index for index, clip in enumerate(clips) if PHONE_BAND in clip.tags]
    report: dict[str, Any] = {"law": options.law, "all": compared(wide, narrow)}
    if banded:
        report[PHONE_BAND] = compared([wide[index] for index in banded], [narrow[index] for index in banded])
    print(json.dumps(report, indent=2))
    if options.check and report.get(PHONE_BAND, report["all"])["points"] > MOST_POINTS:
        raise SystemExit(1)


def compared(wide: list[Errors], narrow: list[Errors]) -> dict[str, float]:
    """Word error of some clips both ways, and the difference in points."""
    one, other = (total(errors).rate or 0.0 for errors in (wide, narrow))
    report = {"clips": len(wide), "words": total(wide).words, "wide_band": round(one, 4), "telephone": round(other, 4)}
    return {**report, "points": round(100 * (other - one), 2)}


if __name__ == "__main__":
    main()
