"""How often Whisper says a sentence over and over, by the silence behind the speech in its window.

Each clip with words goes through Opus, as calls bring it, and is heard once per window: greedy or not as in a call, but
nothing is heard again on doubt, so that it shows what the doubts have to mend.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import soxr
from rich import box
from rich.console import Console
from rich.table import Table

from bench.heard_clips import read_clip
from bench.hearing_figures import errors_of
from bench.real_clips import RealClip
from bench.word_errors import is_doubled, total
from media.values import SEND_RATE
from pipeline.audio import HEARING_RATE, Waveform, to_pcm
from pipeline.engines.protocols import Transcript
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.scheduling.lanes import Ticket, Urgency
from server.calibration.speech_clips import through_opus

LONGEST_S: Final = 25.0
"""Longer clips fill the window by themselves."""

Json = dict[str, Any]


async def hear_on_windows(
    clips: Sequence[RealClip],
    engine: FasterWhisper,
    paddings_s: Sequence[float],
    told: Callable[[int, RealClip], None] = lambda _number, _clip: None,
) -> Json:
    """Each clip on each window, and on the full one of 30 s, its language given.

    Args:
        clips: those without words, and those of more than 25 s, are left out.
        engine: what hears in calls; nobody else should use it meanwhile.
        paddings_s: silence behind the speech, seconds.
        told: called before each clip.

    Returns:
        `clips`, how many, and `windows`: for each `padding_s` (None for the full window), `doubled` with the names,
        `rate` of wrong words in English and `time` as a share of the full window's.
    """
    await engine.warm_up()
    windows: list[float | None] = [*paddings_s, None]
    heard: dict[float | None, list[tuple[RealClip, Transcript]]] = {window: [] for window in windows}
    took = dict.fromkeys(windows, 0.0)
    clips = [clip for clip in clips if clip.spoken and clip.seconds <= LONGEST_S]
    for number, clip in enumerate(clips):
        told(number, clip)
        audio = as_called(read_clip(clip))
        for window in windows:
            began = time.perf_counter()
            ticket = Ticket(Urgency.FINAL_TRANSCRIPT)
            transcript = await engine.hear_once(audio, ticket, padding_s=window, language=clip.language)
            took[window] += time.perf_counter() - began
            heard[window].append((clip, transcript))
    rows = [_row(window, heard[window], took[window] / max(took[None], 1e-9)) for window in windows]
    return {"clips": len(clips), "windows": rows}


def as_called(audio: Waveform) -> Waveform:
    """A clip (16 kHz, shape (n,)) as a call brings it: through Opus."""
    return through_opus(to_pcm(np.asarray(soxr.resample(audio, HEARING_RATE, SEND_RATE), np.float32)))


def _row(window: float | None, heard: Sequence[tuple[RealClip, Transcript]], share: float) -> Json:
    return {
        "padding_s": window,
        "doubled": [clip.name for clip, said in heard if is_doubled(clip.transcript, said.text, clip.language)],
        "rate": total(errors_of(clip, said.text) for clip, said in heard if clip.language == "en").rate,
        "time": share,
    }


def show_windows(reports: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print what each window does; each report has `path` and `figures`."""
    for report in reports:
        figures = report["figures"]
        title = f"{figures['clips']} clips with words, heard once ({report['path']})"
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("silence behind the speech")
        table.add_column("said twice or more", overflow="fold")
        table.add_column("word error, English", justify="right")
        table.add_column("time", justify="right")
        for row in figures["windows"]:
            window = "full window" if row["padding_s"] is None else f"{row['padding_s']:g} s"
            names = f": {', '.join(row['doubled'])}" if row["doubled"] else ""
            rate = "-" if row["rate"] is None else f"{row['rate']:.1%}"
            table.add_row(window, f"{len(row['doubled'])}{names}", rate, f"{row['time']:.0%}")
        console.print(table)
