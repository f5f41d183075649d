"""Which window of Whisper agrees with its full one on this processor, and what each costs."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.audio import Waveform
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.stt.window_choice import DEFAULT_PADDING_S
from pipeline.scheduling.lanes import Ticket, Urgency
from pipeline.text.normalise import edit_distances, normalise

MOST_DOUBTED = 0.02
"""Share of stretches whose words may be doubted: hearing one again costs more than a longer window for all."""

MOST_WORSE = 0.03
"""Share of words by which a window may disagree with the full one, which is not always right itself."""

DEVIATIONS = 2.0
"""Standard deviations beyond that which a few words may show by chance: of the 36 of a first quick look, one is 3 %."""


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """One way to hear, over the recorded stretches.

    Attributes:
        padding_s: silence behind the speech, seconds; None for the full window.
        seconds: for all stretches together.
        disagreement: words that the full window hears otherwise, as a share of its words; None where it hears none.
        doubted: stretches whose words failed the checks, as a share.
        words: that the full window hears.
    """

    padding_s: float | None
    seconds: float
    disagreement: float | None
    doubted: float
    words: int = 0

    @property
    def good(self) -> bool:
        """Whether it may be the first window."""
        known = self.disagreement is not None and agrees(self.disagreement, self.words)
        return known and self.doubted <= MOST_DOUBTED


def agrees(disagreement: float, words: int) -> bool:
    """Whether such a share of so many words may come otherwise by chance."""
    chance = DEVIATIONS * math.sqrt(MOST_WORSE / words) if words else 0.0
    return disagreement <= MOST_WORSE + chance


async def compare_windows(
    stt: FasterWhisper, clips: Sequence[Waveform], paddings_s: Sequence[float], language: str = "en"
) -> list[WindowFigures]:
    """Hear each stretch once with each window; the full one is the last of the list.

    Args:
        stt: the engine; nobody else should use it meanwhile.
        clips: 16 kHz, shape (n,) each.
        paddings_s: windows to test.
        language: of the speech.
    """
    full, reference = await _hear(stt, clips, None, language)
    total = sum(len(words) for words in reference)
    figures = []
    for padding in paddings_s:
        part, heard = await _hear(stt, clips, padding, language)
        edits = sum(edit_distances(wanted, got)[-1] for wanted, got in zip(reference, heard, strict=True))
        disagreement = edits / total if total else None
        figures.append(WindowFigures(padding, part.seconds, disagreement, part.doubted, total))
    return [*figures, full]


def best_padding(figures: Sequence[WindowFigures]) -> float:
    """The cheapest window that is good enough; the longest tested where none is, since doubted words are heard again.

    Args:
        figures: as `compare_windows` gives them.
    """
    tested = sorted((each.padding_s, each) for each in figures if each.padding_s is not None)
    if not tested:
        return DEFAULT_PADDING_S
    return next((padding for padding, each in tested if each.good), tested[-1][0])


async def _hear(
    stt: FasterWhisper, clips: Sequence[Waveform], padding_s: float | None, language: str
) -> tuple[WindowFigures, list[list[str]]]:
    heard, doubted, seconds = [], 0, 0.0
    for clip in clips:
        began = time.perf_counter()
        transcript = await stt.hear_once(clip, Ticket(Urgency.FIRST_AUDIO), padding_s=padding_s, language=language)
        seconds += time.perf_counter() - began
        doubted += transcript.doubted
        heard.append(normalise(transcript.text).split())
    return WindowFigures(padding_s, seconds, 0.0, doubted / max(1, len(clips))), heard
